//! `at_end`, close: the end of a batch whose jobs are all finished.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, millis, now, status},
    error::Result,
    finish_hook::Finisher,
    hooks,
    read::batch,
};
use crate::{
    domain::{BatchFinished, BatchId, BatchRecord, BatchStatus, JobCounts, Measured, StatusTask},
    ledger::{
        decide::{closed_status, closing_error},
        types::Closed,
    },
};

const AT_END: &str = include_str!("sql/at_end.sql");
const STATUS: &str = "SELECT status FROM rocket_batch_batches WHERE id = ?1 AND round = ?2 AND jobs > 0
    AND (close_not_before IS NULL OR close_not_before <= ?3 OR close_not_before > ?4)";
const FIRST_ERROR: &str = "SELECT error FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");
const DELETE_SUMMARIES: &str = "DELETE FROM rocket_batch_summaries WHERE batch = ?1";

pub(super) fn at_end(conn: &Connection, max_delay: Duration, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let (now, latest) = now_and_latest(max_delay);
    let mut query = conn.prepare_cached(AT_END)?;
    let mut ends = Vec::new();
    for batch in batches {
        let round = query.query_row((batch.get(), now, latest), |row| row.get(0)).optional()?;
        ends.extend(round.map(|round| StatusTask::Close { batch: *batch, round }));
    }
    Ok(ends)
}

/// Now, and the latest possible time of another call of the finish hook.
pub(super) fn now_and_latest(max_delay: Duration) -> (i64, i64) {
    let now = now();
    (now, now.saturating_add(millis(max_delay)))
}

pub(super) fn close(conn: &Connection, finisher: &Finisher, id: BatchId, round: u32) -> Result<Closed> {
    let (now, latest) = now_and_latest(finisher.max_delay());
    let mut query = conn.prepare_cached(STATUS)?;
    let status = query.query_row((id.get(), round, now, latest), |row| status(row, "status")).optional()?;
    let Some(status) = status else { return Ok(Closed::NothingToDo) };
    let record = batch(conn, id)?;
    let Some(closed) = closed_status(status, &record.jobs) else { return Ok(Closed::NothingToDo) };
    let error = error_of(conn, id, &record.jobs)?;
    let end = BatchEnd { error: error.as_deref(), ..BatchEnd::of(&record, closed) };
    Ok(Closed::Now(end.record(conn, finisher, id)?))
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

    /// Records the end and calls the host's finish hook. Returns the finished batch.
    pub(super) fn record(self, conn: &Connection, finisher: &Finisher, id: BatchId) -> Result<BatchRecord> {
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
        let finished = batch(conn, id)?;
        let end = BatchFinished::of(&finished);
        hooks::record_batch_end(conn, finisher.rules, &end)?;
        // Last, so that the ledger's rows are complete whatever the hook does.
        finisher.call_hook(conn, &end)?;
        Ok(finished)
    }
}
