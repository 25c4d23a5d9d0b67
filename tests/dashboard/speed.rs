//! The page stays quick with a large batch, and is small.

use serde_json::json;

use crate::{Fixture, RATE_LIMIT, TestResult};

/// The milliseconds of script that an event may take: a frame.
const PER_EVENT: f64 = 16.0;

const FIRST_PAINT_BYTES: u64 = 100_000;

/// The page shows 100,000 items in 1,000 jobs, with the job map and the list.
#[tokio::test]
async fn an_event_of_a_large_batch_takes_less_than_a_frame() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with(RATE_LIMIT, "50 per 500ms")).await?;
    let batch = fixture.shop.post(&json!({ "quantity": 100_000, "batchSize": 100 })).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, .. } = &mut fixture;
    page.until("1,000").await?;
    shop.until(batch, |progress| progress["completed"].as_u64() >= Some(100)).await?;
    let before = (page.script_time().await?, page.events().await?);

    shop.until(batch, |progress| progress["completed"].as_u64() >= Some(600)).await?;

    let (took, events) = (page.script_time().await? - before.0, page.events().await? - before.1);
    let per_event = took * 1_000.0 / events as f64;
    println!("{events} events, {per_event:.1} ms of script each");
    assert!(events >= 10, "{events} events");
    assert!(per_event < PER_EVENT, "{per_event:.1} ms of script for each of {events} events");
    fixture.finish(&[]).await
}

/// Before anybody has logged in. That nothing comes from another origin is checked in every test.
#[tokio::test]
async fn the_first_paint_takes_less_than_100_kilobytes() -> TestResult {
    let mut fixture = Fixture::start_logged_out(|home| home).await?;
    fixture.page.until("Access token").await?;

    let responses = fixture.page.responses().await?;

    let bytes: u64 = responses.iter().filter_map(|response| response["bytes"].as_u64()).sum();
    println!("{} responses, {bytes} bytes", responses.len());
    assert!(responses.len() > 3, "{responses:?}");
    assert!(bytes < FIRST_PAINT_BYTES, "{bytes} bytes: {responses:#?}");
    fixture.finish(&[]).await
}

#[tokio::test]
async fn a_second_visit_loads_no_file_again() -> TestResult {
    let mut fixture = Fixture::start_logged_out(|home| home).await?;
    fixture.page.until("Access token").await?;
    let first = fixture.page.responses().await?.len();

    fixture.page.reload().await?;
    fixture.page.until("Access token").await?;

    let responses = fixture.page.responses().await?.split_off(first);
    let bytes: u64 = responses.iter().filter_map(|response| response["bytes"].as_u64()).sum();
    println!("{} responses, {bytes} bytes", responses.len());
    assert!(bytes < FIRST_PAINT_BYTES / 4, "{bytes} bytes: {responses:#?}");
    fixture.finish(&[]).await
}
