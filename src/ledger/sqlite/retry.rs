//! retry: recreates the failed jobs of a batch.

use rusqlite::{Connection, OptionalExtension};

use super::{audit, error::Result, hooks, read::batch, summarize::count_batch};
use crate::{
    domain::{BatchId, Caller, JobId, JobState, RetryOptions, RetryReport},
    ledger::{
        columns::key,
        decide::{FailedJobRow, NewAuditEntry, Selection, reopened_status},
        rows,
        types::Rules,
    },
};

const FAILED: &str = "SELECT seq, generation, created = quantity AS has_all_items, error_group
    FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq";
const NAMED: &str = "SELECT seq, generation, state FROM rocket_batch_jobs WHERE batch = ?1 AND seq = ?2";
const RECREATE: &str = include_str!("sql/retry_job.sql");
const COMPLETE: &str =
    "UPDATE rocket_batch_jobs SET state = 'completed', error = NULL, error_group = NULL, failed_chunks = NULL
    WHERE batch = ?1 AND seq = ?2";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

pub(super) fn retry(
    conn: &Connection,
    rules: Rules,
    id: BatchId,
    options: &RetryOptions,
    caller: &Caller,
) -> Result<RetryReport> {
    let before = batch(conn, id)?;
    let status = reopened_status(&before)?;
    let selection = Selection::of(id, options, failed_jobs(conn, id)?, &named_jobs(conn, id, options)?);
    if selection.jobs.is_empty() {
        return Ok(selection.report(id, before.status, options.dry_run));
    }
    if options.dry_run {
        return Ok(selection.report(id, status, true));
    }
    retry_jobs(conn, rules, &selection)?;
    conn.prepare_cached(REOPEN)?.execute((id.get(), status.as_str()))?;
    count_batch(conn, id)?;
    let report = selection.report(id, status, false);
    audit::record(conn, &NewAuditEntry::of_retry(&report, options, caller, before.status))?;
    Ok(report)
}

fn retry_jobs(conn: &Connection, rules: Rules, selection: &Selection) -> Result<()> {
    let (complete, others) = selection.complete_and_others();
    for job in complete {
        conn.prepare_cached(COMPLETE)?.execute((job.batch.get(), key(job.seq)))?;
        hooks::record_job_end(conn, rules, job)?;
    }
    for job in others {
        conn.prepare_cached(RECREATE)?.execute((job.batch.get(), key(job.seq)))?;
    }
    Ok(())
}

/// The existing ones of the jobs that the request names.
fn named_jobs(conn: &Connection, batch: BatchId, options: &RetryOptions) -> Result<Vec<(JobId, JobState)>> {
    let mut query = conn.prepare_cached(NAMED)?;
    let seqs = options.jobs.iter().flatten();
    let named = seqs
        .map(|seq| query.query_row((batch.get(), key(*seq)), |row| rows::named_job(row, batch)).optional().transpose());
    Ok(named.flatten().collect::<std::result::Result<_, _>>()?)
}

fn failed_jobs(conn: &Connection, batch: BatchId) -> Result<Vec<FailedJobRow>> {
    let mut query = conn.prepare_cached(FAILED)?;
    let failed = query.query_map([batch.get()], |row| rows::job_to_retry(row, batch))?;
    Ok(failed.collect::<Result<_, _>>()?)
}
