//! close: the end of a batch whose jobs all ended.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{key, now, status},
    error::Answer,
    hooks,
    read::{batch, counts},
};
use crate::domain::{BatchId, BatchStatus, Change, JobCounts};
use crate::ledger::{Closed, Rules};

const STANDING: &str = "SELECT status FROM batch_batches WHERE id = ?1 AND round = ?2 AND open_jobs = 0";
const FIRST_ERROR: &str = "SELECT error FROM batch_jobs INDEXED BY batch_jobs_failed
    WHERE batch = ?1 AND state = 'failed' ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");

pub(super) fn close(conn: &Connection, rules: Rules, id: BatchId, round: u32) -> Answer<Closed> {
    let mut standing = conn.prepare_cached(STANDING)?;
    let found = standing.query_row((id.get(), round), |row| status(row, "status")).optional()?;
    let Some(status) = found else { return Ok(Closed::Over) };
    let counts = counts(conn, id)?;
    let Ok(closed) = status.after(Change::Close { failed: counts.failed > 0 }) else { return Ok(Closed::Over) };
    let error = why_failed(conn, id, &counts)?;
    conclude(conn, rules, id, closed, error.as_deref())?;
    Ok(Closed::Now(batch(conn, id)?))
}

fn why_failed(conn: &Connection, id: BatchId, counts: &JobCounts) -> Answer<Option<String>> {
    if counts.failed == 0 {
        return Ok(None);
    }
    let first: String = conn.prepare_cached(FIRST_ERROR)?.query_row([id.get()], |row| row.get(0))?;
    Ok(Some(format!("{} of {} jobs failed: {first}", counts.failed, counts.total())))
}

/// Ends a batch none of whose jobs is open.
pub(super) fn conclude(
    conn: &Connection,
    rules: Rules,
    id: BatchId,
    status: BatchStatus,
    error: Option<&str>,
) -> Answer<()> {
    let counts = counts(conn, id)?;
    conn.prepare_cached(CLOSE)?.execute(params![
        id.get(),
        status.as_str(),
        error,
        now(),
        key(counts.completed),
        key(counts.failed),
        key(counts.cancelled),
    ])?;
    hooks::batch_over(conn, rules, id)
}
