//! The screenshots of the documentation: with `DOCS=1` the test writes them.

use serde_json::json;

use crate::{
    Fixture, TestResult,
    failures::{impatient, three_reasons},
};

/// Chosen to fit a page of the documentation.
const DESK: (u32, u32) = (1280, 1_240);
const PHONE: (u32, u32) = (390, 844);

#[tokio::test]
async fn a_running_batch_with_failures_fits_a_desk_and_a_phone() -> TestResult {
    // One job at a time and small chunks, so that the batch still runs when it is shown.
    let slow = |home| {
        let home = impatient(home).with("ROCKET_BATCH__GENERATE__CONCURRENCY", "1");
        home.with("ROCKET_BATCH__CHUNK_SIZE", "20")
    };
    let mut fixture = Fixture::start_with(slow).await?;
    let shop = &fixture.shop;
    for quantity in [5_000, 1_200, 20_000] {
        shop.post(&json!({ "quantity": quantity, "batchSize": 1_000 })).await?;
    }
    shop.until(3, |progress| progress["status"] == "completed").await?;
    shop.post_json("/faults", &json!(three_reasons(1_000))).await?;
    let batch = shop.post(&json!({ "quantity": 100_000, "batchSize": 100, "qrCodePrefix": "TEA" })).await?;
    fixture.page.viewport(DESK.0, DESK.1).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, .. } = &mut fixture;
    shop.until(batch, |progress| progress["completed"].as_u64() >= Some(640)).await?;
    page.until("the customer has no contract").await?;

    for (colours, (width, height), name) in
        [("light", DESK, "light"), ("dark", DESK, "dark"), ("light", PHONE, "phone")]
    {
        page.prefer("prefers-color-scheme", colours).await?;
        page.viewport(width, height).await?;
        page.fits(name).await?;
        if std::env::var_os("DOCS").is_some() {
            page.picture(&format!("docs/dashboard-{name}.png")).await?;
        }
    }
    fixture.finish(&[]).await
}
