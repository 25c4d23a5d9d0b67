//! The views that hosts read. Each query has one text for every database.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rocket_batch::{
    domain::{ProcessId, WorkerRecord},
    ledger::{ChunkInserted, Claimed, WorkerReport},
};

use crate::subject::*;

/// Open batches are counted exactly, finished ones have stored counts, unplanned ones have no jobs.
pub async fn a_host_reads_batches(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let completed = ledger.completed_batch().await?.batch;
    let failed = ledger.failed_batch().await?.batch;
    let jobs = ledger.jobs_of(a_batch().of(1_000).in_jobs_of(500).with_prefix("QR")).await?;
    let open = jobs[0].batch;
    for (job, ordinals) in [(jobs[0], 0..30), (jobs[1], 500..512)] {
        let Claimed::Work(work) = ledger.claim(job).await? else { return Err("it is not claimed".into()) };
        assert!(matches!(ledger.insert_chunk(&work.claim, chunk(ordinals)).await?, ChunkInserted::New(_)));
    }
    let unplanned = ledger.requested(a_batch().of(7)).await?;

    let columns =
        "batch_id, status, quantity, batch_size, qr_code_prefix, max_jobs_per_batch, jobs, items_created, error";
    let rows = ledger.host_reads(&format!("SELECT {columns} FROM batch_batches ORDER BY batch_id")).await?;
    let reason = "1 of 1 jobs failed: no ink";
    assert_eq!(
        rows,
        [
            ["1", "completed", "100", "100", "null", "null", "1", "100", "null"],
            ["2", "failed", "100", "100", "null", "null", "1", "0", reason],
            ["3", "running", "1000", "500", "QR", "100000", "2", "42", "null"],
            ["4", "pending", "7", "100", "null", "null", "null", "0", "null"],
        ]
    );
    let times = "SELECT created_at, started_at, finished_at FROM batch_batches ORDER BY batch_id";
    let mut expected = Vec::new();
    for batch in [completed, failed, open, unplanned] {
        let batch = ledger.batch(batch).await?;
        expected.push([Some(batch.created_at), batch.started_at, batch.finished_at].map(iso));
    }
    assert_eq!(ledger.host_reads(times).await?, expected);
    let one = "SELECT batch_id FROM batch_batches WHERE status = 'failed' AND finished_at > '2020-01-01T00:00:00.000Z'";
    assert_eq!(ledger.host_reads(one).await?, [["2"]]);
    let all = ledger.host_reads("SELECT * FROM batch_batches WHERE batch_id = 4").await?;
    let created_at = iso(Some(ledger.batch(unplanned).await?.created_at));
    let row = ["4", "pending", "7", "100", "null", "null", "null", "0", "null", &created_at, "null", "null"];
    assert_eq!(all, [row]);
    Ok(())
}

pub async fn a_host_reads_jobs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let _bystander = ledger.bystander().await?;
    let failed = ledger.failed_batch().await?.batch;

    let columns = "batch_id, seq, state, first_ordinal, quantity, items_created, attempts, crashes, error";
    let rows = ledger.host_reads(&format!("SELECT {columns} FROM batch_jobs WHERE batch_id = 1 ORDER BY seq")).await?;
    assert_eq!(
        rows,
        [
            ["1", "0", "completed", "0", "100", "100", "0", "0", "null"],
            ["1", "1", "failed", "100", "100", "0", "1", "0", "no ink"],
            ["1", "2", "delayed", "200", "100", "0", "1", "0", "later"],
            ["1", "3", "active", "300", "100", "10", "0", "0", "null"],
            ["1", "4", "waiting", "400", "100", "0", "0", "0", "null"],
        ]
    );
    let failed = &ledger.failed_jobs(failed, ALL).await?[0];
    let times = [failed.started_at, failed.finished_at].map(iso);
    let row = ["2", "0", "failed", "0", "100", "0", "1", "0", "no ink", &times[0], &times[1]];
    assert_eq!(ledger.host_reads("SELECT * FROM batch_jobs WHERE batch_id = 2").await?, [row]);
    Ok(())
}

pub async fn a_host_reads_items(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    ledger.completed_batch().await?;
    let job = ledger.completed_batch().await?;

    let item = &ledger.items(job.batch, page(Some(56), 1)).await?[0];
    let row = ["2", "57", "code-57", &iso(Some(item.created_at))];
    assert_eq!(ledger.host_reads("SELECT * FROM batch_items WHERE batch_id = 2 AND code = 'code-57'").await?, [row]);
    let joined = "SELECT b.batch_id, count(*), min(i.ordinal), max(i.ordinal)
        FROM batch_batches b JOIN batch_items i ON i.batch_id = b.batch_id
        GROUP BY b.batch_id ORDER BY b.batch_id";
    assert_eq!(ledger.host_reads(joined).await?, [["1", "100", "0", "99"], ["2", "100", "0", "99"]]);
    Ok(())
}

/// In PostgreSQL a view of one table would pass changes on to it.
pub async fn a_host_reads_workers(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let report = WorkerReport {
        process: ProcessId(u64::MAX - 15),
        host: "shelf".into(),
        role: "all",
        version: "1.2.3",
        uptime: Duration::from_secs(9),
        since_last_fetch: Some(Duration::from_secs(1)),
        active_jobs: 2,
        standby: true,
        memory_bytes: Some(4_096),
    };
    ledger.report_worker(report.clone()).await?;
    ledger.report_worker(WorkerReport { process: ProcessId(10), since_last_fetch: None, ..report }).await?;

    let columns = "worker_id, host, role, version, active_jobs, standby, memory_bytes";
    let rows = ledger.host_reads(&format!("SELECT {columns} FROM batch_workers ORDER BY worker_id")).await?;
    let row = |id| [id, "shelf", "all", "1.2.3", "2", "1", "4096"];
    assert_eq!(rows, [row("000000000000000a"), row("fffffffffffffff0")]);

    let listed = ledger.workers().await?;
    let times =
        ledger.host_reads("SELECT started_at, reported_at, last_fetch_at FROM batch_workers ORDER BY 1").await?;
    let expected = |worker: &WorkerRecord| {
        [Some(worker.started_at), Some(worker.reported_at), worker.last_fetch_at].map(iso).to_vec()
    };
    assert_eq!(times, listed.iter().map(expected).collect::<Vec<_>>());
    Ok(())
}

pub async fn a_host_can_change_nothing_through_a_view(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    for change in [
        "DELETE FROM batch_batches",
        "UPDATE batch_batches SET status = 'completed'",
        "DELETE FROM batch_jobs",
        "UPDATE batch_jobs SET quantity = 1",
        "DELETE FROM batch_items",
        "INSERT INTO batch_items (batch_id, ordinal, code) VALUES (1, 499, 'mine')",
    ] {
        let refused = ledger.host_changes(change).await.expect_err(change).to_string();
        assert!(refused.contains("view"), "{change}: {refused}");
    }
    bystander.assert_unchanged(&ledger).await
}

/// As SQLite's views show a time, and as JSON does.
fn iso(time: Option<DateTime<Utc>>) -> String {
    time.map_or("null".into(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}
