//! `at_end`, close: the end of a batch whose jobs are all finished.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, millis, now, status},
    error::Result,
    hooks,
    read::batch,
};
use crate::{
    domain::{BatchId, BatchRecord, BatchStatus, JobCounts, Measured, StatusTask},
    ledger::{
        decide::{closed_status, closing_error},
        types::{Closed, Rules},
    },
};

const AT_END: &str = include_str!("sql/at_end.sql");
const STATUS: &str = "SELECT status FROM rocket_batch_batches WHERE id = ?1 AND round = ?2 AND jobs > 0";
const FIRST_ERROR: &str = "SELECT error FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");
const DELETE_SUMMARIES: &str = "DELETE FROM rocket_batch_summaries WHERE batch = ?1";

pub(super) fn at_end(conn: &Connection, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let mut query = conn.prepare_cached(AT_END)?;
    let mut ends = Vec::new();
    for batch in batches {
        let round = query.query_row([batch.get()], |row| row.get(0)).optional()?;
        ends.extend(round.map(|round| StatusTask::Close { batch: *batch, round }));
    }
    Ok(ends)
}

pub(super) fn close(conn: &Connection, rules: Rules, id: BatchId, round: u32) -> Result<Closed> {
    let mut query = conn.prepare_cached(STATUS)?;
    let status = query.query_row((id.get(), round), |row| status(row, "status")).optional()?;
    let Some(status) = status else { return Ok(Closed::NothingToDo) };
    let record = batch(conn, id)?;
    let Some(closed) = closed_status(status, &record.jobs) else { return Ok(Closed::NothingToDo) };
    let error = error_of(conn, id, &record.jobs)?;
    BatchEnd { error: error.as_deref(), ..BatchEnd::of(&record, closed) }.record(conn, rules, id)?;
    Ok(Closed::Now(batch(conn, id)?))
}

fn error_of(conn: &Connection, id: BatchId, jobs: &JobCounts) -> Result<Option<String>> {
    if jobs.failed == 0 {
        return Ok(None);
    }
    let first: String = conn.prepare_cached(FIRST_ERROR)?.query_row([id.get()], |row| row.get(0))?;
    Ok(Some(closing_error(jobs, &first)))
}

/// The end of a batch without open jobs.
pub(super) struct BatchEnd<'a> {
    pub status: BatchStatus,
    pub error: Option<&'a str>,
    pub counts: JobCounts,
    pub measured: Measured,
}

impl BatchEnd<'_> {
    /// The end with the counts of `record`, without an error.
    pub(super) const fn of(record: &BatchRecord, status: BatchStatus) -> Self {
        Self { status, error: None, counts: record.jobs, measured: record.measured }
    }

    pub(super) fn record(self, conn: &Connection, rules: Rules, id: BatchId) -> Result<()> {
        conn.prepare_cached(CLOSE)?.execute(params![
            id.get(),
            self.status.as_str(),
            self.error,
            now(),
            key(self.counts.completed),
            key(self.counts.failed),
            key(self.counts.cancelled),
            key(self.measured.items),
            millis(self.measured.worked),
        ])?;
        conn.prepare_cached(DELETE_SUMMARIES)?.execute([id.get()])?;
        hooks::record_batch_end(conn, rules, id)
    }
}
