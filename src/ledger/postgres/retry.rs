//! retry: recreates the failed jobs of a batch.

use deadpool_postgres::{Client, GenericClient};

use super::{
    audit,
    control::lock,
    error::Result,
    hooks,
    pool::{Lane, Verb},
    read::batch,
    summarize::count_batch,
};
use crate::{
    domain::{BatchId, Caller, JobId, JobState, RetryOptions, RetryReport},
    ledger::{
        columns::key,
        decide::{NewAuditEntry, Selection, reopened_status},
        operation, rows,
        types::Rules,
    },
};

const FAILED: &str = "SELECT seq, generation, created = quantity AS has_all_items, error_group FROM jobs
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL
    ORDER BY seq FOR NO KEY UPDATE";
const NAMED: &str = "SELECT seq, generation, state FROM jobs WHERE batch = $1 AND seq = ANY ($2::bigint[])";
const RECREATE: &str = include_str!("sql/retry_jobs.sql");
const COMPLETE: &str = "UPDATE jobs SET state = 'completed', error = NULL, error_group = NULL, failed_chunks = NULL
    WHERE batch = $1 AND seq = ANY ($2::bigint[])";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

/// See [`Ledger::retry`](crate::ledger::Ledger::retry).
pub(super) struct Retry {
    pub rules: Rules,
    pub batch: BatchId,
    pub options: RetryOptions,
    pub caller: Caller,
}

impl Verb for Retry {
    type Output = RetryReport;
    const OPERATION: &'static str = operation::RETRY;
    const LANE: Lane = Lane::Requests;
    // A repetition would find no failed jobs.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Result<RetryReport> {
        let transaction = conn.transaction().await?;
        let report = self.retry(&transaction).await?;
        if !self.options.dry_run {
            transaction.commit().await?;
        }
        Ok(report)
    }
}

impl Retry {
    async fn retry(&self, conn: &impl GenericClient) -> Result<RetryReport> {
        lock(conn, self.batch).await?;
        let before = batch(conn, self.batch).await?;
        let status = reopened_status(&before)?;
        let selection = self.select(conn).await?;
        if selection.jobs.is_empty() {
            return Ok(selection.report(self.batch, before.status, self.options.dry_run));
        }
        if self.options.dry_run {
            return Ok(selection.report(self.batch, status, true));
        }
        self.retry_jobs(conn, &selection).await?;
        let statement = conn.prepare_cached(REOPEN).await?;
        conn.execute(&statement, &[&self.batch.get(), &status.as_str()]).await?;
        count_batch(conn, self.batch).await?;
        let report = selection.report(self.batch, status, false);
        audit::record(conn, &NewAuditEntry::of_retry(&report, &self.options, &self.caller, before.status)).await?;
        Ok(report)
    }

    async fn select(&self, conn: &impl GenericClient) -> Result<Selection> {
        let failed = conn.query(&conn.prepare_cached(FAILED).await?, &[&self.batch.get()]).await?;
        let failed = failed.iter().map(|row| rows::job_to_retry(row, self.batch)).collect::<Result<_>>()?;
        let named = self.named(conn).await?;
        Ok(Selection::of(self.batch, &self.options, failed, &named))
    }

    /// The existing ones of the jobs that the request names.
    async fn named(&self, conn: &impl GenericClient) -> Result<Vec<(JobId, JobState)>> {
        let Some(seqs) = &self.options.jobs else { return Ok(Vec::new()) };
        let seqs: Vec<_> = seqs.iter().copied().map(key).collect();
        let named = conn.query(&conn.prepare_cached(NAMED).await?, &[&self.batch.get(), &seqs]).await?;
        named.iter().map(|row| rows::named_job(row, self.batch)).collect()
    }

    async fn retry_jobs(&self, conn: &impl GenericClient, selection: &Selection) -> Result<()> {
        let (complete, others) = selection.complete_and_others();
        let batch = self.batch.get();
        conn.execute(&conn.prepare_cached(COMPLETE).await?, &[&batch, &seqs(&complete)]).await?;
        for job in complete {
            hooks::record_job_end(conn, self.rules, job).await?;
        }
        conn.execute(&conn.prepare_cached(RECREATE).await?, &[&batch, &seqs(&others)]).await?;
        Ok(())
    }
}

fn seqs(jobs: &[JobId]) -> Vec<i64> {
    jobs.iter().map(|job| key(job.seq)).collect()
}
