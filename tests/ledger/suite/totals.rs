//! totals: the counts of the whole ledger.

use std::time::Duration;

use chrono::Utc;
use rocket_batch::{
    domain::BatchStatus,
    ledger::{HookOutcome, TotalCounts},
};

use crate::subject::*;

pub async fn an_empty_ledger_has_no_totals(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    assert_eq!(ledger.totals().await?, TotalCounts::default());
    Ok(())
}

pub async fn totals_count_batches_by_status_and_open_jobs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let before = Utc::now() - Duration::from_secs(60);
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?;
    let _claim = ledger.claim_job(jobs[3]).await?;
    ledger.summarized(7, jobs[0].batch).await?;
    ledger.jobs_of(a_batch().of(300)).await?;
    for status in [BatchStatus::Completed, BatchStatus::Failed, BatchStatus::Cancelled] {
        ledger.batch_with_status(status).await?;
    }

    let totals = ledger.totals().await?;

    let count = |status| totals.batches.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count);
    assert_eq!(
        BatchStatus::ALL.map(|status| (status, count(status))),
        BatchStatus::ALL.map(|status| (status, u64::from(status != BatchStatus::Paused)))
    );
    assert_eq!((totals.waiting, totals.active, totals.delayed), (1 + 3, 1, 1));
    assert!(totals.oldest_open.is_some_and(|at| at > before), "{totals:?}");
    Ok(())
}

pub async fn totals_include_unplanned_and_paused_batches(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let unplanned = ledger.requested(a_batch().of(300)).await?;

    let totals = ledger.totals().await?;
    assert_eq!((totals.batches, totals.waiting), (vec![(BatchStatus::Pending, 1)], 0));
    assert!(totals.oldest_open.is_some(), "{unplanned} is the oldest");

    let paused = ledger.batch_with_status(BatchStatus::Paused).await?;
    let open = ledger.batch(paused).await?.jobs.waiting;
    assert_eq!(ledger.totals().await?.waiting, open);
    Ok(())
}

pub async fn totals_count_only_hooks_that_were_given_up(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    for job in &jobs {
        ledger.fail(*job).await?;
    }
    let hooks = ledger.hooks_of(jobs[0].batch).await?;

    ledger.record_hook_outcome(hooks[0], 0, HookOutcome::Delivered).await?;
    ledger.record_hook_outcome(hooks[1], 0, HookOutcome::GivenUp { error: "no answer".into() }).await?;

    assert_eq!(ledger.totals().await?.hooks_given_up, 1);
    Ok(())
}
