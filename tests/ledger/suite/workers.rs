//! `report_worker`, `remove_worker`, workers, `has_workers`: the processes that use the ledger.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rocket_batch::{
    domain::ProcessId,
    ledger::{RecentWork, WorkerReport},
};

use crate::subject::*;

const SPAN: Duration = Duration::from_secs(13);

fn report(process: u64, role: &'static str) -> WorkerReport {
    WorkerReport {
        process: ProcessId(process),
        host: format!("host-{process}"),
        role,
        version: "1.2.3",
        uptime: Duration::from_secs(100),
        since_last_fetch: None,
        active_jobs: 0,
        standby: false,
        memory_bytes: None,
    }
}

pub async fn a_process_is_listed_as_it_last_reported_until_it_is_removed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    // The highest bit is set: databases store it as a sign.
    let (late, early) = (u64::MAX - 1, 7);
    let bystander = WorkerReport { uptime: Duration::from_secs(50), ..report(late, "web") };
    ledger.report_worker(bystander).await?;
    ledger.report_worker(report(early, "worker")).await?;
    let busy = WorkerReport {
        since_last_fetch: Some(Duration::from_secs(3)),
        active_jobs: 2,
        standby: true,
        memory_bytes: Some(5_000_000_000),
        ..report(early, "worker")
    };

    ledger.report_worker(busy).await?;

    let listed = ledger.workers().await?;
    let [first, second] = &listed[..] else { return Err(format!("{listed:?}").into()) };
    assert_eq!([first.id, second.id], [ProcessId(early), ProcessId(late)], "the oldest first");
    assert_eq!((&*first.host, &*first.role, &*first.version), ("host-7", "worker", "1.2.3"));
    assert_eq!((first.active_jobs, first.standby, first.memory_bytes), (2, true, Some(5_000_000_000)));
    let since = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64();
    let fetch = since(first.last_fetch_at.ok_or("no fetch")?, first.reported_at);
    assert!((2.99..3.01).contains(&fetch), "{fetch} s");
    assert!((99.9..110.0).contains(&since(first.started_at, first.reported_at)), "{first:?}");
    assert_eq!((&*second.role, second.last_fetch_at, second.memory_bytes), ("web", None, None));

    ledger.remove_worker(ProcessId(early)).await?;
    ledger.remove_worker(ProcessId(early)).await?;
    assert_eq!(ledger.workers().await?, listed[1..]);
    Ok(())
}

pub async fn only_a_recent_report_of_a_process_that_runs_jobs_counts_as_a_worker(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    assert!(!ledger.has_workers(SPAN).await?);

    ledger.report_worker(report(1, "web")).await?;
    ledger.report_worker(WorkerReport { standby: true, ..report(2, "all") }).await?;
    assert!(!ledger.has_workers(SPAN).await?, "neither runs jobs");

    ledger.report_worker(report(2, "all")).await?;
    assert!(ledger.has_workers(SPAN).await?);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!ledger.has_workers(Duration::from_millis(10)).await?, "the report is too old");

    ledger.remove_worker(ProcessId(2)).await?;
    assert!(!ledger.has_workers(SPAN).await?);
    Ok(())
}

/// The report of a busy process may be late.
pub async fn a_process_that_inserted_an_item_counts_as_a_worker(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.jobs_of(a_batch().of(200)).await?[0];
    let _claim = ledger.claim_job(job).await?;

    ledger.summarize(7, vec![RecentWork { batch: job.batch, items: 0, last_item_at: None }]).await?;
    assert!(!ledger.has_workers(SPAN).await?, "a process without workers may count the jobs too");

    let last_item_at = Some(Utc::now());
    ledger.summarize(8, vec![RecentWork { batch: job.batch, items: 50, last_item_at }]).await?;
    ledger.summarize(7, vec![recent(job.batch)]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    ledger.summarize(8, vec![RecentWork { batch: job.batch, items: 50, last_item_at }]).await?;

    assert!(ledger.has_workers(SPAN).await?);
    assert!(!ledger.has_workers(Duration::from_millis(500)).await?, "the item is too old");
    Ok(())
}
