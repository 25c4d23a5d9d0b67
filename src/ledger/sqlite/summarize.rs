//! summarize, backlog: the counts that lists and estimates read instead of jobs.

use std::time::Duration;

use chrono::Utc;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{batch_id, key, millis, number},
    error::Result,
    read::{counts, read_measured},
};
use crate::domain::{BatchId, JobCounts, Measured};
use crate::ledger::{
    decide::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES, OLD_AFTER, OLD_ROWS, OpenBatch},
    query::{Backlog, COUNT_INTERVAL, RecentWork},
};

const TO_COUNT: &str = include_str!("sql/summaries_to_count.sql");
const SUMMARIZE: &str = include_str!("sql/summarize.sql");
const OLD: &str = include_str!("sql/old_summaries.sql");
const LEFT_BEHIND: &str = "SELECT DISTINCT batch FROM rocket_batch_summaries s
    WHERE active > 0 AND counted_at < ?1
      AND NOT EXISTS (SELECT 1 FROM rocket_batch_summaries WHERE batch = s.batch AND counted_at > s.counted_at)
    LIMIT ?2";
const BACKLOG: &str = include_str!("sql/backlog.sql");
const MEASURED: &str = "SELECT items_created, worked_ms FROM rocket_batch_batches
    WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 1";

/// The process id of counts made by verbs that change a whole batch.
const NO_PROCESS: i64 = 0;

/// Returns the open ones of the batches, and whether another process has just counted them.
pub(super) fn to_count(conn: &Connection, process: i64, work: &[RecentWork]) -> Result<Vec<OpenBatch>> {
    let mut query = conn.prepare_cached(TO_COUNT)?;
    let now = now_micros();
    let mut open = Vec::new();
    for work in work {
        let batch = query
            .query_row((work.batch.get(), process, now.saturating_sub(micros(COUNT_INTERVAL)), now), |row| {
                Ok(OpenBatch { work: *work, jobs: number(row, "jobs")?, counted: row.get("counted")? })
            });
        open.extend(batch.optional()?);
    }
    Ok(open)
}

/// The counts of a batch.
pub(super) struct Counted {
    work: RecentWork,
    jobs: JobCounts,
    measured: Measured,
    /// A time before the snapshot: the count includes every change committed by then, and of two
    /// counts the later one has seen more.
    at: i64,
}

/// Counts the jobs of batches.
pub(super) fn count(conn: &Connection, work: &[RecentWork]) -> Result<Vec<Counted>> {
    let at = now_micros();
    let count = |work: &RecentWork| {
        let (jobs, measured) = counts(conn, work.batch)?;
        Ok(Counted { work: *work, jobs, measured, at })
    };
    work.iter().map(count).collect()
}

/// Stores the counts of batches that are still open, and deletes outdated summaries of other
/// processes.
pub(super) fn store(conn: &Connection, process: i64, counted: &[Counted]) -> Result<()> {
    counted.iter().try_for_each(|counted| {
        let versions = delete_outdated(conn, process, counted)?;
        store_one(conn, process, counted, versions)
    })
}

/// Counts the jobs of one batch, for a verb that changes the whole batch.
pub(super) fn count_batch(conn: &Connection, batch: BatchId) -> Result<()> {
    store(conn, NO_PROCESS, &count(conn, &[RecentWork { batch, items: 0, last_item_at: None }])?)
}

/// Deletes outdated summaries and returns the sum of their versions.
fn delete_outdated(conn: &Connection, process: i64, counted: &Counted) -> Result<i64> {
    let mut query = conn.prepare_cached(OLD)?;
    let (from, to) = (counted.at.saturating_sub(micros(OLD_AFTER)), counted.at.saturating_add(micros(OLD_AFTER)));
    let versions =
        query.query_map((counted.work.batch.get(), process, from, to, key(OLD_ROWS)), |row| row.get::<_, i64>(0))?;
    Ok(versions.sum::<Result<i64, _>>()?)
}

fn store_one(conn: &Connection, process: i64, counted: &Counted, versions: i64) -> Result<()> {
    let Counted { work, jobs, measured, at } = counted;
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
        at,
        key(work.items),
        work.last_item_at.map(|time| time.timestamp_millis()),
        versions,
    ])?;
    Ok(())
}

/// Now, in microseconds since 1970. Two counts of a batch often fall into one millisecond.
fn now_micros() -> i64 {
    Utc::now().timestamp_micros()
}

/// A duration in microseconds.
fn micros(span: Duration) -> i64 {
    u64::try_from(span.as_micros()).map_or(i64::MAX, key)
}

/// Batches that the process which worked on them no longer counts.
pub(super) fn stale_batches(conn: &Connection) -> Result<Vec<BatchId>> {
    let mut query = conn.prepare_cached(LEFT_BEHIND)?;
    let before = now_micros().saturating_sub(micros(LEFT_BEHIND_AFTER));
    let left = query.query_map((before, key(LEFT_BEHIND_BATCHES)), |row| batch_id(row, "batch"))?;
    Ok(left.collect::<Result<_, _>>()?)
}

pub(super) fn backlog(conn: &Connection, limit: u64) -> Result<Backlog> {
    let mut query = conn.prepare_cached(BACKLOG)?;
    let open = query.query_map([key(limit)], |row| number(row, "open"))?.collect::<Result<_, _>>()?;
    let measured = conn.prepare_cached(MEASURED)?.query_row([], read_measured).optional()?.unwrap_or_default();
    Ok(Backlog { open, measured })
}
