//! Jobs fail for several reasons, and those of one reason are retried.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{Fixture, TestResult, support::host::Home};

/// Each job is tried once, so that it fails at once.
pub fn impatient(home: Home) -> Home {
    home.with("ROCKET_BATCH__GENERATE__ATTEMPTS", "1")
        .with("ROCKET_BATCH__CHUNK_TRIES", "1")
        .with("ROCKET_BATCH__CHUNK_SIZE", "100")
}

/// The reasons why every 20th of `jobs` jobs of 100 items fails, by item: three reasons, for six,
/// three and one of ten failed jobs.
pub fn three_reasons(jobs: u64) -> BTreeMap<u64, String> {
    let reason = |job: u64| match job * 10 / jobs {
        0..6 => format!("out of labels at {}", job * 100 + 57),
        6..9 => "the label printer is offline".to_owned(),
        _ => "the customer has no contract".to_owned(),
    };
    (0..jobs).step_by(20).map(|job| (job * 100 + 57, reason(job))).collect()
}

impl Fixture {
    /// Creates a batch of `jobs` jobs, of which every 20th fails.
    pub async fn create_failing_batch(&self, jobs: u64) -> TestResult<i64> {
        self.shop.post_json("/faults", &json!(three_reasons(jobs))).await?;
        let batch = self.shop.post(&json!({ "quantity": jobs * 100, "batchSize": 100 })).await?;
        let progress = self.shop.until_finished(batch, Duration::from_secs(120)).await?;
        assert_eq!(progress["failed"], jobs / 20, "{progress}");
        Ok(batch)
    }
}

#[tokio::test]
async fn failures_are_grouped_by_reason_and_one_group_is_retried_alone() -> TestResult {
    let mut fixture = Fixture::start_with(impatient).await?;
    let batch = fixture.create_failing_batch(1_000).await?;
    let mut reasons = three_reasons(1_000);
    reasons.retain(|_, reason| !reason.starts_with("out of labels"));
    fixture.shop.post_json("/faults", &json!(reasons)).await?;
    fixture.open(&format!("batch={batch}")).await?;
    let Fixture { page, shop, home } = &mut fixture;

    for title in ["out of labels at N", "the label printer is offline", "the customer has no contract"] {
        page.until(title).await?;
    }
    for button in ["Retry 30 jobs", "Retry 15 jobs", "Retry 5 jobs"] {
        page.until(button).await?;
    }
    page.press_button("Retry 30 jobs").await?;
    page.until_gone("out of labels at N").await?;
    let progress = shop.until_finished(batch, Duration::from_secs(60)).await?;

    assert_eq!((&progress["failed"], &progress["completed"]), (&json!(20), &json!(980)), "{progress}");
    let counts = [
        ("generation = 1 AND state = 'completed' AND seq % 20 = 0 AND seq < 600", 30),
        ("generation = 0 AND state = 'failed' AND seq % 20 = 0 AND seq >= 600", 20),
        ("generation = 0 AND state = 'completed'", 950),
    ];
    for (which, count) in counts {
        let sql = format!("SELECT count(*) FROM rocket_batch_jobs WHERE {which}");
        assert_eq!(home.count(&sql).await?, count, "{which}");
    }
    assert!(page.text().await?.contains("Retry 15 jobs"), "the other groups stay");
    fixture.finish(&[]).await
}
