//! `open_jobs`, `open_tasks`: the jobs and tasks to put into the queues.

use std::time::Duration;

use chrono::Utc;
use rusqlite::Connection;

use super::{
    close::{batches_to_close, now_and_latest},
    columns::now,
    error::Result,
    item_checks::open_checks,
    summarize::stale_batches,
};
use crate::domain::{BatchId, StatusTask};
use crate::ledger::{
    columns::{Columns, key, millis},
    decide::{
        Candidate, DUE_JOBS, ENDS_PAGE, HOOKS, Limited, UNPLANNED_BATCHES, Window, WindowSearch, batches_to_feed,
        hook_tasks, limits, next_due, next_page,
    },
    query::{JobQuery, OpenJob, OpenJobs, OpenTasks, TaskQuery},
    rows,
    types::Unplanned,
};

const OLDEST: &str = include_str!("sql/oldest_batches.sql");
const SMALLEST: &str = include_str!("sql/smallest_batches.sql");
const QUEUED: &str = include_str!("sql/queued_jobs.sql");
const NEXT_JOBS: &str = include_str!("sql/next_jobs.sql");
const DUE: &str = include_str!("sql/due_jobs.sql");
const NEXT_DUE: &str = "SELECT min((
    SELECT min(not_before) FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed
    WHERE batch = b.id AND not_before IS NOT NULL AND not_before > ?1
)) FROM rocket_batch_batches b INDEXED BY rocket_batch_batches_by_status WHERE b.status = 'running'";
const HAS_EXCESSIVE_DELAY: &str = "SELECT EXISTS (
    SELECT 1 FROM rocket_batch_batches b INDEXED BY rocket_batch_batches_by_status
    CROSS JOIN rocket_batch_jobs j INDEXED BY rocket_batch_jobs_delayed ON j.batch = b.id
    WHERE b.status = 'running' AND j.not_before IS NOT NULL AND j.not_before > ?1
)";
// Jobs of a paused batch are left alone until it runs.
const CAP_DELAYS: &str = "UPDATE rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed SET not_before = ?1
    WHERE batch IN (
        SELECT id FROM rocket_batch_batches INDEXED BY rocket_batch_batches_by_status WHERE status = 'running'
      )
      AND not_before IS NOT NULL AND not_before > ?1";
const STARTED: &str = "SELECT id FROM rocket_batch_batches INDEXED BY rocket_batch_batches_started
    WHERE jobs > 0 AND status IN ('running', 'paused') AND id > ?1 ORDER BY id LIMIT ?2";
const UNPLANNED: &str = "SELECT id, quantity, batch_size, prefix, max_jobs
    FROM rocket_batch_batches INDEXED BY rocket_batch_batches_unplanned
    WHERE jobs IS NULL AND (close_not_before IS NULL OR close_not_before <= ?2 OR close_not_before > ?3)
    ORDER BY id LIMIT ?1";
const OPEN_HOOKS: &str = "SELECT id, batch, not_before FROM rocket_batch_hooks INDEXED BY rocket_batch_hooks_open
    WHERE state = 'open' ORDER BY id LIMIT ?1";

/// Whether a job has a delay longer than the longest backoff, which happens if the clock was wrong
/// for a while.
pub(super) fn has_excessive_delay(conn: &Connection, max_backoff: Duration) -> Result<bool> {
    let latest = now().saturating_add(millis(max_backoff));
    Ok(conn.prepare_cached(HAS_EXCESSIVE_DELAY)?.query_row([latest], |row| row.get(0))?)
}

/// Shortens delays longer than the longest backoff.
pub(super) fn cap_delays(conn: &Connection, max_backoff: Duration) -> Result<()> {
    conn.prepare_cached(CAP_DELAYS)?.execute([now().saturating_add(millis(max_backoff))])?;
    Ok(())
}

pub(super) fn open_jobs(conn: &Connection, query: &JobQuery) -> Result<OpenJobs> {
    let now = now();
    let Window { batches, has_more } = window(conn, query.window)?;
    let (jobs, more) = next_jobs(conn, query, &batches)?;
    let mut due = conn.prepare_cached(DUE)?;
    let due = due.query_map((now, key(DUE_JOBS)), |row| rows::open_job(row))?;
    let due = due.collect::<Result<Vec<_>, _>>()?;
    let next: Option<i64> = conn.prepare_cached(NEXT_DUE)?.query_row([now], |row| row.get(0))?;
    let next_due = next_due(due.len(), next.map(|next| next - now));
    Ok(OpenJobs { window: batches, jobs, due, has_more: has_more || more, next_due })
}

fn window(conn: &Connection, size: u64) -> Result<Window> {
    let mut search = WindowSearch::of(size);
    loop {
        let (oldest, smallest) = (candidates(conn, OLDEST, &search)?, candidates(conn, SMALLEST, &search)?);
        if let Some(window) = search.select(&oldest, &smallest) {
            return Ok(window);
        }
    }
}

fn candidates(conn: &Connection, sql: &str, search: &WindowSearch) -> Result<Vec<Candidate>> {
    let mut query = conn.prepare_cached(sql)?;
    let candidates =
        query.query_map([key(search.candidates()), key(search.ready_limit())], |row| rows::candidate(row))?;
    Ok(candidates.collect::<Result<_, _>>()?)
}

/// The next jobs of the batches in the window, and whether these have more.
fn next_jobs(conn: &Connection, query: &JobQuery, window: &[BatchId]) -> Result<(Vec<OpenJob>, bool)> {
    let share = query.capacity.share(window.len() as u64);
    let batches = batches_to_feed(query, window);
    let mut count = conn.prepare_cached(QUEUED)?;
    let queued = |(batch, from): &(BatchId, u64)| {
        count.query_row((batch.get(), key(*from), key(share)), |row| row.number("queued"))
    };
    let queued = batches.iter().map(queued).collect::<Result<Vec<u64>, _>>()?;
    let limits = limits(&queued, share, query.free);
    let mut jobs = Vec::new();
    for ((batch, from), limit) in batches.iter().zip(&limits) {
        jobs.extend(next_jobs_of(conn, *batch, *from, *limit + 1)?);
    }
    Ok(Limited { batches: &batches, limits: &limits }.apply(jobs))
}

/// Waiting and active jobs from number `from`.
fn next_jobs_of(conn: &Connection, batch: BatchId, from: u64, limit: u64) -> Result<Vec<OpenJob>> {
    let mut query = conn.prepare_cached(NEXT_JOBS)?;
    let jobs = query.query_map((batch.get(), key(from), key(limit)), |row| rows::open_job(row))?;
    Ok(jobs.collect::<Result<_, _>>()?)
}

pub(super) fn open_tasks(conn: &Connection, max_delay: Duration, query: TaskQuery) -> Result<OpenTasks> {
    let hooks = hook_tasks(hooks(conn)?);
    let TaskQuery::All { close_after } = query else { return Ok(hooks) };
    let mut query = conn.prepare_cached(STARTED)?;
    let started = query.query_map((close_after.map_or(0, BatchId::get), key(ENDS_PAGE)), |row| row.batch_id("id"))?;
    let started = started.collect::<Result<Vec<_>, _>>()?;
    let tasks = batches_to_close(conn, max_delay, &started)?.into_iter().map(|task| (task, Duration::ZERO));
    let (unplanned, stale) = (unplanned(conn, max_delay)?, stale_batches(conn)?);
    let checks = open_checks(conn)?.into_iter().map(|task| (task, Duration::ZERO));
    let (status, next) = (tasks.chain(hooks.status).chain(checks).collect(), next_page(&started));
    Ok(OpenTasks { status, unplanned, stale, next, has_more: hooks.has_more })
}

fn unplanned(conn: &Connection, max_delay: Duration) -> Result<Vec<Unplanned>> {
    let (now, latest) = now_and_latest(max_delay);
    let mut query = conn.prepare_cached(UNPLANNED)?;
    Ok(query.query_map((key(UNPLANNED_BATCHES), now, latest), |row| rows::unplanned(row))?.collect::<Result<_, _>>()?)
}

fn hooks(conn: &Connection) -> Result<Vec<(StatusTask, Duration)>> {
    let now = Utc::now();
    let mut query = conn.prepare_cached(OPEN_HOOKS)?;
    Ok(query.query_map([key(HOOKS)], |row| rows::hook_task(row, now))?.collect::<Result<_, _>>()?)
}
