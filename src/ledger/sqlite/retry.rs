//! retry: failed jobs of a batch once more.

use rusqlite::Connection;

use super::{columns::key, error::Result, hooks, read::batch, summarize::count_anew};
use crate::domain::{BatchId, BatchRecord, Change, JobId, RetryReport, SkippedJob};
use crate::ledger::{LedgerError, Rules};

const FAILED: &str = "SELECT seq, generation, created = quantity AS whole FROM batch_jobs INDEXED BY batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq";
const RECREATE: &str = include_str!("sql/retry_job.sql");
const COMPLETE: &str =
    "UPDATE batch_jobs SET state = 'completed', error = NULL, failed_chunks = NULL WHERE batch = ?1 AND seq = ?2";
const REOPEN: &str = include_str!("sql/retry_batch.sql");

pub(super) fn retry(conn: &Connection, rules: Rules, id: BatchId) -> Result<RetryReport> {
    let BatchRecord { status: before, history_removed, .. } = batch(conn, id)?;
    let after = before.after(Change::Retry)?;
    if history_removed {
        return Err(LedgerError::HistoryRemoved(id).into());
    }
    let failed = failed_jobs(conn, id)?;
    if failed.is_empty() {
        return Ok(RetryReport::of_none(id, before));
    }
    let mut report = RetryReport { found: failed.len() as u64, ..RetryReport::of_none(id, after) };
    for job in failed {
        job.once_more(conn, rules, &mut report)?;
    }
    report.recreated = report.job_ids.len() as u64;
    conn.prepare_cached(REOPEN)?.execute((id.get(), after.as_str()))?;
    count_anew(conn, id)?;
    Ok(report)
}

struct Failed {
    job: JobId,
    /// Whether all its items exist: its last attempt did not come to say so.
    whole: bool,
}

impl Failed {
    fn once_more(self, conn: &Connection, rules: Rules, report: &mut RetryReport) -> Result<()> {
        let Self { job, whole } = self;
        let row = (job.batch.get(), key(job.seq));
        if whole {
            conn.prepare_cached(COMPLETE)?.execute(row)?;
            hooks::job_over(conn, rules, job)?;
            report.skipped.push(SkippedJob {
                job_id: job.to_string(),
                reason: "all its items exist; it is completed now".into(),
            });
        } else {
            conn.prepare_cached(RECREATE)?.execute(row)?;
            report.job_ids.push(JobId { generation: job.generation + 1, ..job }.to_string());
        }
        Ok(())
    }
}

fn failed_jobs(conn: &Connection, batch: BatchId) -> Result<Vec<Failed>> {
    let mut query = conn.prepare_cached(FAILED)?;
    let failed = query.query_map([batch.get()], |row| {
        let job = JobId { batch, seq: row.get("seq")?, generation: row.get("generation")? };
        Ok(Failed { job, whole: row.get("whole")? })
    })?;
    Ok(failed.collect::<Result<_, _>>()?)
}
