//! The server is killed under the page, and comes back.

use serde_json::json;

use crate::{Fixture, RATE_LIMIT, TestResult};

/// What Chromium writes to the console when a connection is lost or refused.
const LOST: [&str; 4] =
    ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"];

#[tokio::test]
async fn the_page_outlives_a_crash_of_its_server() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "1 per 1s")).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 10_000, "batchSize": 1_000 })).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, home } = &mut fixture;
    shop.until(batch, |progress| progress["itemsCreated"].as_u64() >= Some(2_000)).await?;
    page.until("of 10,000 items").await?;
    page.evaluate("window.isTheSamePage = true").await?;

    shop.kill().await?;
    page.until("The server can't be reached. Data as of ").await?;

    assert!(page.text().await?.contains("of 10,000 items"), "the page must keep its data");
    page.until_true("document.querySelector('[data-old]')?.contains(document.querySelector('main'))").await?;
    *shop = home.start_on_port(shop.port, "dashboard-shop", &[(RATE_LIMIT, "off")]).await?;
    page.until_gone("The server can't be reached.").await?;
    page.until_status("completed").await?;
    assert_eq!(page.evaluate("window.isTheSamePage").await?, true, "the page was loaded again");
    fixture.finish(&LOST).await
}
