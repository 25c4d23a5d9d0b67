//! The workers, and the history of a batch.

use reqwest::Method;
use serde_json::json;

use crate::{Fixture, RATE_LIMIT, TestResult};

#[tokio::test]
async fn the_workers_are_one_click_away_and_leave_the_batch_as_it_was() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 300 })).await?;
    fixture.shop.until(batch, |progress| progress["status"] == "completed").await?;
    fixture.open(&format!("batch={batch}")).await?;
    let page = &mut fixture.page;
    page.until_status("completed").await?;

    page.click_link("Workers").await?;
    page.until("1 process runs jobs").await?;
    page.until(env!("CARGO_PKG_VERSION")).await?;
    page.is_accessible("the workers").await?;
    page.viewport(390, 844).await?;
    page.fits("the workers on a phone").await?;
    page.viewport(1280, 900).await?;
    page.click_link("Close").await?;
    page.until_status("completed").await?;
    page.back().await?;
    page.until("1 process runs jobs").await?;

    fixture.finish(&[]).await
}

#[tokio::test]
async fn the_history_of_a_batch_says_who_did_what() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "1 per 1s")).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 5_000 })).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let page = &mut fixture.page;
    page.until("Created by manager").await?;
    page.until("5,000 items").await?;

    page.press_button("Pause").await?;
    page.until("Paused by manager").await?;
    page.press_button("Resume").await?;
    page.until("Resumed by manager").await?;
    fixture.shop.send(Method::POST, &format!("/batches/{batch}/cancel")).await?;

    page.until("Cancelled by manager").await?;
    page.is_accessible("the history").await?;
    fixture.finish(&[]).await
}
