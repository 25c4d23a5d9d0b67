//! `at_end`, close: the end of a batch whose jobs are all finished.

use rusqlite::{Connection, OptionalExtension, params};

use super::{columns::now, error::Result, hooks, read::batch};
use crate::{
    domain::{BatchId, StatusTask},
    ledger::{
        columns::{Columns, key, millis},
        decide::BatchEnd,
        rows,
        types::{Closed, Rules},
    },
};

const AT_END: &str = include_str!("sql/at_end.sql");
const STATUS: &str = "SELECT status FROM batch_batches WHERE id = ?1 AND round = ?2 AND jobs > 0";
const FIRST_ERROR: &str = "SELECT error FROM batch_jobs INDEXED BY batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");
const DELETE_SUMMARIES: &str = "DELETE FROM batch_summaries WHERE batch = ?1";

pub(super) fn at_end(conn: &Connection, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let mut query = conn.prepare_cached(AT_END)?;
    let mut ends = Vec::new();
    for batch in batches {
        ends.extend(query.query_row([batch.get()], |row| rows::close_task(row)).optional()?);
    }
    Ok(ends)
}

pub(super) fn close(conn: &Connection, rules: Rules, id: BatchId, round: u32) -> Result<Closed> {
    let mut query = conn.prepare_cached(STATUS)?;
    let status = query.query_row((id.get(), round), |row| row.status("status")).optional()?;
    let Some(status) = status else { return Ok(Closed::NothingToDo) };
    let record = batch(conn, id)?;
    let Some(mut end) = BatchEnd::of_closing(status, &record) else { return Ok(Closed::NothingToDo) };
    if end.has_failed_jobs() {
        end = end.with_first_error(&first_error(conn, id)?);
    }
    record_end(conn, rules, id, &end)?;
    Ok(Closed::Now(batch(conn, id)?))
}

fn first_error(conn: &Connection, id: BatchId) -> Result<String> {
    Ok(conn.prepare_cached(FIRST_ERROR)?.query_row([id.get()], |row| row.string("error"))?)
}

/// Finishes the batch, and inserts its hook row.
pub(super) fn record_end(conn: &Connection, rules: Rules, id: BatchId, end: &BatchEnd) -> Result<()> {
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
    hooks::record_batch_end(conn, rules, id)
}
