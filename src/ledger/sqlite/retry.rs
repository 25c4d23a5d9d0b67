//! retry: recreates the failed jobs of a batch.

use rusqlite::Connection;

use super::{
    columns::{key, number},
    error::Result,
    hooks,
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

const FAILED: &str = "SELECT seq, generation, created = quantity AS has_all_items
    FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq";
const RECREATE: &str = include_str!("sql/retry_job.sql");
const COMPLETE: &str = "UPDATE rocket_batch_jobs SET state = 'completed', error = NULL, failed_chunks = NULL
    WHERE batch = ?1 AND seq = ?2";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

pub(super) fn retry(conn: &Connection, rules: Rules, id: BatchId) -> Result<RetryReport> {
    let before = batch(conn, id)?;
    let status = reopened_status(&before)?;
    let failed = failed_jobs(conn, id)?;
    if failed.is_empty() {
        return Ok(RetryReport::empty(id, before.status));
    }
    for job in &failed {
        retry_job(conn, rules, job)?;
    }
    conn.prepare_cached(REOPEN)?.execute((id.get(), status.as_str()))?;
    count_batch(conn, id)?;
    Ok(retry_report(RetryReport::empty(id, status), &failed))
}

fn retry_job(conn: &Connection, rules: Rules, FailedJobRow { job, has_all_items }: &FailedJobRow) -> Result<()> {
    let row = (job.batch.get(), key(job.seq));
    if !has_all_items {
        conn.prepare_cached(RECREATE)?.execute(row)?;
        return Ok(());
    }
    conn.prepare_cached(COMPLETE)?.execute(row)?;
    hooks::record_job_end(conn, rules, *job)
}

fn failed_jobs(conn: &Connection, batch: BatchId) -> Result<Vec<FailedJobRow>> {
    let mut query = conn.prepare_cached(FAILED)?;
    let failed = query.query_map([batch.get()], |row| {
        let job = JobId { batch, seq: number(row, "seq")?, generation: row.get("generation")? };
        Ok(FailedJobRow { job, has_all_items: row.get("has_all_items")? })
    })?;
    Ok(failed.collect::<Result<_, _>>()?)
}
