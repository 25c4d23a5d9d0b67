//! retry: recreates the failed jobs of a batch.

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
    summarize::count_batch,
};
use crate::{
    domain::{BatchId, JobId, RetryReport},
    ledger::{
        decide::{FailedJobRow, reopened_status, retry_report},
        types::Rules,
    },
};

const FAILED: &str = "SELECT seq, generation, created = quantity AS has_all_items FROM jobs
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
    // A repetition would find no failed jobs.
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
        let before = batch(conn, self.batch).await?;
        let status = reopened_status(&before)?;
        let failed = conn.query(&conn.prepare_cached(FAILED).await?, &[&self.batch.get()]).await?;
        if failed.is_empty() {
            return Ok(RetryReport::empty(self.batch, before.status));
        }
        let failed = failed.iter().map(|row| read_failed(row, self.batch)).collect::<Result<Vec<_>>>()?;
        self.retry_jobs(conn, &failed).await?;
        let statement = conn.prepare_cached(REOPEN).await?;
        conn.execute(&statement, &[&self.batch.get(), &status.as_str()]).await?;
        count_batch(conn, self.batch).await?;
        Ok(retry_report(RetryReport::empty(self.batch, status), &failed))
    }

    async fn retry_jobs(&self, conn: &impl GenericClient, failed: &[FailedJobRow]) -> Result<()> {
        let (complete, others): (Vec<_>, Vec<_>) = failed.iter().partition(|failed| failed.has_all_items);
        let batch = self.batch.get();
        conn.execute(&conn.prepare_cached(COMPLETE).await?, &[&batch, &seqs(&complete)]).await?;
        for FailedJobRow { job, .. } in complete {
            hooks::record_job_end(conn, self.rules, *job).await?;
        }
        conn.execute(&conn.prepare_cached(RECREATE).await?, &[&batch, &seqs(&others)]).await?;
        Ok(())
    }
}

fn read_failed(row: &Row, batch: BatchId) -> Result<FailedJobRow> {
    let job = JobId { batch, seq: number(row, "seq")?, generation: small_number(row, "generation")? };
    Ok(FailedJobRow { job, has_all_items: row.try_get("has_all_items")? })
}

fn seqs(failed: &[&FailedJobRow]) -> Vec<i64> {
    failed.iter().map(|failed| key(failed.job.seq)).collect()
}
