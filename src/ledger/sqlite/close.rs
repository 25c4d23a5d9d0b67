//! `batches_to_close`, close: the end of a batch whose jobs are all finished.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{columns::now, error::Result, finish_hook::Finisher, hooks, read::batch};
use crate::{
    domain::{BatchFinished, BatchId, BatchRecord, StatusTask},
    ledger::{
        columns::{Columns, key, millis},
        decide::BatchEnd,
        rows,
        types::Closed,
    },
};

const BATCHES_TO_CLOSE: &str = include_str!("sql/batches_to_close.sql");
const STATUS: &str = "SELECT status FROM rocket_batch_batches WHERE id = ?1 AND round = ?2 AND jobs > 0
    AND (close_not_before IS NULL OR close_not_before <= ?3 OR close_not_before > ?4)";
const FIRST_ERROR: &str = "SELECT error FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");
const DELETE_SUMMARIES: &str = "DELETE FROM rocket_batch_summaries WHERE batch = ?1";

pub(super) fn batches_to_close(conn: &Connection, max_delay: Duration, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let (now, latest) = now_and_latest(max_delay);
    let mut query = conn.prepare_cached(BATCHES_TO_CLOSE)?;
    let mut ends = Vec::new();
    for batch in batches {
        ends.extend(query.query_row((batch.get(), now, latest), |row| rows::close_task(row)).optional()?);
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
    let status = query.query_row((id.get(), round, now, latest), |row| row.status("status")).optional()?;
    let Some(status) = status else { return Ok(Closed::NothingToDo) };
    let record = batch(conn, id)?;
    let Some(mut end) = BatchEnd::of_closing(status, &record) else { return Ok(Closed::NothingToDo) };
    if end.has_failed_jobs() {
        end = end.with_first_error(&first_error(conn, id)?);
    }
    Ok(Closed::Now(Box::new(record_end(conn, finisher, id, &end)?)))
}

fn first_error(conn: &Connection, id: BatchId) -> Result<String> {
    Ok(conn.prepare_cached(FIRST_ERROR)?.query_row([id.get()], |row| row.string("error"))?)
}

/// Finishes the batch, inserts its hook row, and calls the host's finish hook. Returns the finished
/// batch.
pub(super) fn record_end(conn: &Connection, finisher: &Finisher, id: BatchId, end: &BatchEnd) -> Result<BatchRecord> {
    conn.prepare_cached(CLOSE)?.execute(params![
        id.get(),
        end.status.as_str(),
        end.error,
        now(),
        key(end.counts.completed),
        key(end.counts.failed),
        key(end.counts.cancelled),
        key(end.measured.items),
        millis(end.measured.worked),
    ])?;
    conn.prepare_cached(DELETE_SUMMARIES)?.execute([id.get()])?;
    let finished = batch(conn, id)?;
    hooks::record_batch_end(conn, finisher.rules, &finished)?;
    // Last, so that the ledger's rows are complete whatever the hook does.
    finisher.call_hook(conn, &BatchFinished::of(&finished))?;
    Ok(finished)
}
