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

/// The reasons why one in 20 of `jobs` jobs of 100 items fails, by item: three reasons, for six,
/// three and one of ten failed jobs. The first job is one of the six.
pub fn three_reasons(jobs: u64) -> BTreeMap<u64, String> {
    let failed = jobs / 20;
    let reason = |nth: u64, item: u64| match nth * 10 / failed {
        0..6 => format!("out of labels at {item}"),
        6..9 => "the label printer is offline".to_owned(),
        _ => "the customer has no contract".to_owned(),
    };
    // The factor is prime, so that the jobs differ.
    let item = |nth: u64| nth * 617 % jobs * 100 + 57;
    (0..failed).map(|nth| (item(nth), reason(nth, item(nth)))).collect()
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
    let (labels, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        three_reasons(1_000).into_iter().partition(|(_, reason)| reason.starts_with("out of labels"));
    fixture.shop.post_json("/faults", &json!(others)).await?;
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
    let jobs = |reasons: &BTreeMap<u64, String>| {
        let jobs: Vec<_> = reasons.keys().map(|item| (item / 100).to_string()).collect();
        jobs.join(", ")
    };
    let counts = [
        (format!("generation = 1 AND state = 'completed' AND seq IN ({})", jobs(&labels)), 30),
        (format!("generation = 0 AND state = 'failed' AND seq IN ({})", jobs(&others)), 20),
        ("generation = 0 AND state = 'completed'".to_owned(), 950),
    ];
    for (which, count) in counts {
        let sql = format!("SELECT count(*) FROM rocket_batch_jobs WHERE {which}");
        assert_eq!(home.count(&sql).await?, count, "{which}");
    }
    assert!(page.text().await?.contains("Retry 15 jobs"), "the other groups stay");
    fixture.finish(&[]).await
}
