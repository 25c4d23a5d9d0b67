//! `at_end`, close: the end of a batch whose jobs all ended.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, millis, now, status},
    error::Result,
    hooks,
    read::batch,
};
use crate::domain::{BatchId, BatchRecord, BatchStatus, Change, JobCounts, Measured, StatusTask};
use crate::ledger::{Closed, Rules};

const AT_END: &str = include_str!("sql/batches_at_end.sql");
const STATUS: &str = "SELECT status FROM batch_batches WHERE id = ?1 AND round = ?2 AND jobs > 0";
const FIRST_ERROR: &str = "SELECT error FROM batch_jobs INDEXED BY batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");
const FORGET_SUMMARIES: &str = "DELETE FROM batch_summaries WHERE batch = ?1";

pub(super) fn at_end(conn: &Connection, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let mut query = conn.prepare_cached(AT_END)?;
    let mut ends = Vec::new();
    for batch in batches {
        let round = query.query_row([batch.get()], |row| row.get(0)).optional()?;
        ends.extend(round.map(|round| StatusTask::End { batch: *batch, round }));
    }
    Ok(ends)
}

pub(super) fn close(conn: &Connection, rules: Rules, id: BatchId, round: u32) -> Result<Closed> {
    let mut query = conn.prepare_cached(STATUS)?;
    let found = query.query_row((id.get(), round), |row| status(row, "status")).optional()?;
    let Some(status) = found else { return Ok(Closed::Over) };
    let record = batch(conn, id)?;
    let Ok(closed) = status.after(Change::Close { failed: record.jobs.failed > 0 }) else { return Ok(Closed::Over) };
    if record.jobs.open() > 0 {
        return Ok(Closed::Over);
    }
    let error = why_failed(conn, id, &record.jobs)?;
    End { error: error.as_deref(), ..End::of(&record, closed) }.record(conn, rules, id)?;
    Ok(Closed::Now(batch(conn, id)?))
}

fn why_failed(conn: &Connection, id: BatchId, counts: &JobCounts) -> Result<Option<String>> {
    if counts.failed == 0 {
        return Ok(None);
    }
    let first: String = conn.prepare_cached(FIRST_ERROR)?.query_row([id.get()], |row| row.get(0))?;
    Ok(Some(format!("{} of {} jobs failed: {first}", counts.failed, counts.total())))
}

/// How a batch ends none of whose jobs is open.
pub(super) struct End<'a> {
    pub status: BatchStatus,
    pub error: Option<&'a str>,
    pub counts: JobCounts,
    pub measured: Measured,
}

impl End<'_> {
    /// With the counts of `record`, and without an error.
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
        conn.prepare_cached(FORGET_SUMMARIES)?.execute([id.get()])?;
        hooks::batch_over(conn, rules, id)
    }
}
