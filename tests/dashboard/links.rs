//! What the page shows stands in its URL.

use serde_json::json;

use crate::{Fixture, TestResult, failures::impatient};

const FILTER: &str = "document.querySelector('nav select').value";

#[tokio::test]
async fn back_and_a_reload_keep_the_filter_and_the_batch() -> TestResult {
    let mut fixture = Fixture::start_with(impatient).await?;
    let failed = fixture.create_failing_batch(20).await?;
    fixture.shop.post_json("/faults", &json!({})).await?;
    let completed = fixture.shop.post(&json!({ "quantity": 100 })).await?;
    fixture.shop.until(completed, |progress| progress["status"] == "completed").await?;
    fixture.open(&format!("batch={failed}&status=failed")).await?;
    let page = &mut fixture.page;
    page.until_status("failed").await?;

    page.fill("Find a batch, job or code", &completed.to_string()).await?;
    page.press("Enter").await?;
    page.until_status("completed").await?;
    assert_eq!(page.evaluate(FILTER).await?, "failed");
    page.back().await?;
    page.until_status("failed").await?;
    page.reload().await?;
    page.until_status("failed").await?;

    assert_eq!(page.evaluate(FILTER).await?, "failed");
    fixture.finish(&[]).await
}

/// By the id of a batch or of a job, by a code, and by a link that ends with a code.
#[tokio::test]
async fn the_search_box_finds_batches_jobs_and_codes() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home).await?;
    let [batch, other] =
        [fixture.shop.post(&json!({ "quantity": 300 })).await?, fixture.shop.post(&json!({ "quantity": 10 })).await?];
    for id in [batch, other] {
        fixture.shop.until(id, |progress| progress["status"] == "completed").await?;
    }
    let code = fixture.shop.items(batch).await?[123]["code"].as_str().ok_or("no code")?.to_owned();
    let link = format!("https://shop.example/items/{code}?from=label");
    let found = format!("{code} is item 123 of batch {batch}");

    for (text, answer) in [
        (other.to_string(), format!("Batch {other}")),
        (format!("b{batch}-j2-g0"), "Job 2".to_owned()),
        (code.clone(), found.clone()),
        (other.to_string(), format!("Batch {other}")),
        (link, found),
        ("no-such-code".to_owned(), "Nothing found".to_owned()),
    ] {
        fixture.page.fill("Find a batch, job or code", &text).await?;
        fixture.page.press("Enter").await?;
        fixture.page.until(&answer).await?;
    }
    fixture.finish(&["status of 404"]).await
}
