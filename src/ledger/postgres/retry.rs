//! retry: failed jobs of a batch once more.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    columns::{key, number, small_number},
    control::lock,
    error::Result,
    hooks,
    pool::{Lane, Verb},
    read::batch,
    summarize::count_anew,
};
use crate::domain::{BatchId, BatchRecord, Change, JobId, RetryReport, SkippedJob};
use crate::ledger::{LedgerError, Rules};

const FAILED: &str = "SELECT seq, generation, created = quantity AS whole FROM jobs
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL
    ORDER BY seq FOR NO KEY UPDATE";
const RECREATE: &str = include_str!("sql/retry_jobs.sql");
const COMPLETE: &str = "UPDATE jobs SET state = 'completed', error = NULL, failed_chunks = NULL
    WHERE batch = $1 AND seq = ANY ($2::bigint[])";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

/// See [`Ledger::retry`](crate::ledger::Ledger::retry).
pub(super) struct Retry {
    pub rules: Rules,
    pub batch: BatchId,
}

#[async_trait]
impl Verb for Retry {
    type Output = RetryReport;
    const OPERATION: &'static str = "retry a batch";
    const LANE: Lane = Lane::Requests;
    // The second time there would be nothing left to retry.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Result<RetryReport> {
        let transaction = conn.transaction().await?;
        let report = self.retry(&transaction).await?;
        transaction.commit().await?;
        Ok(report)
    }
}

impl Retry {
    async fn retry(&self, conn: &impl GenericClient) -> Result<RetryReport> {
        lock(conn, self.batch).await?;
        let BatchRecord { status: before, history_removed, .. } = batch(conn, self.batch).await?;
        let after = before.after(Change::Retry)?;
        if history_removed {
            return Err(LedgerError::HistoryRemoved(self.batch).into());
        }
        let failed = conn.query(&conn.prepare_cached(FAILED).await?, &[&self.batch.get()]).await?;
        if failed.is_empty() {
            return Ok(RetryReport::of_none(self.batch, before));
        }
        let mut report = RetryReport { found: failed.len() as u64, ..RetryReport::of_none(self.batch, after) };
        let failed = failed.iter().map(|row| Failed::read(row, self.batch)).collect::<Result<Vec<_>>>()?;
        let (whole, others): (Vec<_>, Vec<_>) = failed.into_iter().partition(|failed| failed.whole);
        self.complete(conn, &whole, &mut report).await?;
        self.recreate(conn, &others, &mut report).await?;
        let statement = conn.prepare_cached(REOPEN).await?;
        conn.execute(&statement, &[&self.batch.get(), &after.as_str()]).await?;
        count_anew(conn, self.batch).await?;
        Ok(report)
    }

    async fn complete(&self, conn: &impl GenericClient, whole: &[Failed], report: &mut RetryReport) -> Result<()> {
        conn.execute(&conn.prepare_cached(COMPLETE).await?, &[&self.batch.get(), &seqs(whole)]).await?;
        for Failed { job, .. } in whole {
            hooks::job_over(conn, self.rules, *job).await?;
            report.skipped.push(SkippedJob {
                job_id: job.to_string(),
                reason: "all its items exist; it is completed now".into(),
            });
        }
        Ok(())
    }

    async fn recreate(&self, conn: &impl GenericClient, others: &[Failed], report: &mut RetryReport) -> Result<()> {
        conn.execute(&conn.prepare_cached(RECREATE).await?, &[&self.batch.get(), &seqs(others)]).await?;
        let again = others.iter().map(|failed| JobId { generation: failed.job.generation + 1, ..failed.job });
        report.job_ids.extend(again.map(|job| job.to_string()));
        report.recreated = others.len() as u64;
        Ok(())
    }
}

struct Failed {
    job: JobId,
    /// Whether all its items exist: its last attempt did not come to say so.
    whole: bool,
}

impl Failed {
    fn read(row: &Row, batch: BatchId) -> Result<Self> {
        let job = JobId { batch, seq: number(row, "seq")?, generation: small_number(row, "generation")? };
        Ok(Self { job, whole: row.try_get("whole")? })
    }
}

fn seqs(failed: &[Failed]) -> Vec<i64> {
    failed.iter().map(|failed| key(failed.job.seq)).collect()
}
