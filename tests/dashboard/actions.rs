//! A batch is created, paused, resumed and cancelled on the page.

use std::time::Duration;

use serde_json::json;

use crate::{Fixture, RATE_LIMIT, TestResult};

const BAR: &str = "Number(document.querySelector('main [role=progressbar]')?.getAttribute('aria-valuenow'))";

/// The rate limit makes the batch run for some seconds.
#[tokio::test]
async fn a_batch_created_on_the_page_reaches_100_percent_before_the_users_eyes() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "5 per 500ms")).await?;
    let page = &mut fixture.page;

    page.press_button("New batch").await?;
    page.fill("Quantity", "3000").await?;
    page.until("30, up to 100 items each").await?;
    page.press_button("Create batch").await?;
    page.until_true(&format!("0 < {BAR} && {BAR} < 100")).await?;
    page.evaluate("window.isTheSamePage = true").await?;
    page.until_true(&format!("{BAR} === 100")).await?;
    page.until_status("completed").await?;

    assert_eq!(page.evaluate("window.isTheSamePage").await?, true, "the page was loaded again");
    assert!(page.events().await? > 3, "the page was not told by the stream");
    let progress = fixture.shop.until_finished(1, Duration::from_secs(10)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(3_000)));
    fixture.finish(&[]).await
}

#[tokio::test]
async fn wrong_fields_of_a_new_batch_are_explained_and_nothing_is_created() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home).await?;
    let page = &mut fixture.page;

    page.press_button("New batch").await?;
    page.fill("Quantity", "0").await?;
    page.until("must be 1 to 10000000").await?;

    assert_eq!(fixture.home.count("SELECT count(*) FROM rocket_batch_batches").await?, 0);
    fixture.finish(&["status of 422"]).await
}

#[tokio::test]
async fn a_batch_is_paused_resumed_and_cancelled_and_only_the_cancel_asks() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "1 per 1s")).await?;
    let shop = &fixture.shop;
    let [batch, bystander] =
        [shop.post(&json!({ "quantity": 5_000 })).await?, shop.post(&json!({ "quantity": 5_000 })).await?];
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, .. } = &mut fixture;

    page.press_button("Pause").await?;
    shop.until(batch, |progress| progress["status"] == "paused").await?;
    page.until_status("paused").await?;
    page.press_button("Resume").await?;
    shop.until(batch, |progress| progress["status"] != "paused").await?;

    page.press_button("Cancel batch").await?;
    page.until("can't be resumed").await?;
    page.press("Escape").await?;
    assert_ne!(shop.progress(batch).await?["status"], "cancelled", "the user has not confirmed");
    page.press_button("Cancel batch").await?;
    page.press_button("Cancel this batch").await?;

    shop.until(batch, |progress| progress["status"] == "cancelled").await?;
    page.until_status("cancelled").await?;
    assert_ne!(shop.progress(bystander).await?["status"], "cancelled");
    fixture.finish(&[]).await
}
