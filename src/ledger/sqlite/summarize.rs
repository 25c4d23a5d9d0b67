//! summarize, backlog: what lists and estimates read instead of jobs.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{batch_id, key, millis, now},
    error::Answer,
    read::{counts, read_measured},
};
use crate::domain::BatchId;
use crate::ledger::{
    Backlog, RecentWork,
    decide::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES},
};

const SUMMARIZE: &str = include_str!("sql/summarize.sql");
const LEFT_BEHIND: &str = "SELECT DISTINCT batch FROM batch_summaries s
    WHERE active > 0 AND counted_at < ?1
      AND NOT EXISTS (SELECT 1 FROM batch_summaries WHERE batch = s.batch AND counted_at > s.counted_at)
    LIMIT ?2";
const BACKLOG: &str = include_str!("sql/backlog.sql");
const MEASURED: &str = "SELECT items_created, worked_ms FROM batch_batches
    WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 1";

/// Who counts when it is no process that works: a verb that changes a batch as a whole.
const NO_PROCESS: i64 = 0;

pub(super) fn summarize(conn: &Connection, process: i64, work: &[RecentWork]) -> Answer<()> {
    work.iter().try_for_each(|work| count(conn, process, *work))
}

/// Counts the jobs of one batch, for a verb that changes it as a whole.
pub(super) fn count_anew(conn: &Connection, batch: BatchId) -> Answer<()> {
    count(conn, NO_PROCESS, RecentWork { batch, items: 0, last_item_at: None })
}

fn count(conn: &Connection, process: i64, work: RecentWork) -> Answer<()> {
    let (jobs, measured) = counts(conn, work.batch)?;
    conn.prepare_cached(SUMMARIZE)?.execute(params![
        work.batch.get(),
        process,
        key(jobs.waiting),
        key(jobs.active),
        key(jobs.delayed),
        key(jobs.completed),
        key(jobs.failed),
        key(measured.items),
        millis(measured.worked),
        now(),
        key(work.items),
        work.last_item_at.map(|time| time.timestamp_millis()),
    ])?;
    Ok(())
}

/// Batches that whoever worked them does not count any more.
pub(super) fn left_behind(conn: &Connection) -> Answer<Vec<BatchId>> {
    let mut query = conn.prepare_cached(LEFT_BEHIND)?;
    let before = now().saturating_sub(millis(LEFT_BEHIND_AFTER));
    let left = query.query_map((before, key(LEFT_BEHIND_BATCHES)), |row| batch_id(row, "batch"))?;
    Ok(left.collect::<Result<_, _>>()?)
}

pub(super) fn backlog(conn: &Connection, limit: u64) -> Answer<Backlog> {
    let mut query = conn.prepare_cached(BACKLOG)?;
    let open = query.query_map([key(limit)], |row| row.get("open"))?.collect::<Result<_, _>>()?;
    let measured = conn.prepare_cached(MEASURED)?.query_row([], read_measured).optional()?.unwrap_or_default();
    Ok(Backlog { open, measured })
}
