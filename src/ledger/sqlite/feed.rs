//! `open_jobs`, `open_tasks`: the jobs and tasks to put into the queues.

use std::time::Duration;

use rusqlite::{Connection, Row};

use super::{
    close::at_end,
    columns::{batch_id, key, millis, now, number},
    error::Result,
    read::read_options,
    summarize::stale_batches,
};
use crate::domain::{BatchId, HookId, JobId, StatusTask};
use crate::ledger::{
    decide::{
        Candidate, DUE_JOBS, ENDS_PAGE, HOOKS, Limited, UNPLANNED_BATCHES, Window, WindowSearch, batches_to_feed,
        limits,
    },
    query::{JobQuery, OpenJob, OpenJobs, OpenTasks, TaskQuery},
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
    WHERE jobs IS NULL ORDER BY id LIMIT ?1";
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
    let due = due.query_map((now, key(DUE_JOBS)), |row| read_job(row, 0))?;
    let due = due.collect::<Result<Vec<_>, _>>()?;
    let next_due: Option<i64> = conn.prepare_cached(NEXT_DUE)?.query_row([now], |row| row.get(0))?;
    let next_due = next_due.map(|due| Duration::from_millis(u64::try_from(due - now).unwrap_or_default()));
    let next_due = if due.len() as u64 == DUE_JOBS { Some(Duration::ZERO) } else { next_due };
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
    let candidates = query.query_map([key(search.candidates()), key(search.ready_limit())], |row| {
        Ok(Candidate { batch: batch_id(row, "id")?, ready: number(row, "ready")? })
    })?;
    Ok(candidates.collect::<Result<_, _>>()?)
}

/// The next jobs of the batches in the window, and whether these have more.
fn next_jobs(conn: &Connection, query: &JobQuery, window: &[BatchId]) -> Result<(Vec<OpenJob>, bool)> {
    let share = query.capacity.share(window.len() as u64);
    let batches = batches_to_feed(query, window);
    let mut count = conn.prepare_cached(QUEUED)?;
    let queued =
        |(batch, from): &(BatchId, u64)| count.query_row((batch.get(), key(*from), key(share)), |row| number(row, 0));
    let queued = batches.iter().map(queued).collect::<Result<Vec<u64>, _>>()?;
    let limits = limits(&queued, share, query.free);
    let mut jobs = Vec::new();
    for ((batch, from), limit) in batches.iter().zip(&limits) {
        jobs.extend(next_jobs_of(conn, *batch, *from, *limit + 1)?);
    }
    Ok(Limited { batches: &batches, limits: &limits }.apply(jobs))
}

/// Waiting and active jobs from number `from`. Ranks count from the first such job of the batch.
fn next_jobs_of(conn: &Connection, batch: BatchId, from: u64, limit: u64) -> Result<Vec<OpenJob>> {
    let mut query = conn.prepare_cached(NEXT_JOBS)?;
    let mut select = |from: u64, limit: u64| {
        let rows = query.query_map((batch.get(), key(from), key(limit)), |row| read_job(row, 0))?;
        rows.collect::<Result<Vec<_>, _>>()
    };
    let head = select(0, 1)?.first().map_or(0, |open| open.job.seq);
    let jobs = select(from, limit)?;
    Ok(jobs.into_iter().map(|open| OpenJob { rank: open.job.seq.saturating_sub(head), ..open }).collect())
}

fn read_job(row: &Row<'_>, rank: u64) -> rusqlite::Result<OpenJob> {
    let job = JobId { batch: batch_id(row, "batch")?, seq: number(row, "seq")?, generation: row.get("generation")? };
    Ok(OpenJob {
        job,
        first: number(row, "first")?,
        quantity: number(row, "quantity")?,
        rank,
        attempts_made: row.get("attempts")?,
    })
}

pub(super) fn open_tasks(conn: &Connection, query: TaskQuery) -> Result<OpenTasks> {
    let hooks = hooks(conn)?;
    let has_more = hooks.len() as u64 == HOOKS;
    let TaskQuery::All { close_after } = query else {
        return Ok(OpenTasks { status: hooks, has_more, ..OpenTasks::default() });
    };
    let mut query = conn.prepare_cached(STARTED)?;
    let started = query.query_map((close_after.map_or(0, BatchId::get), key(ENDS_PAGE)), |row| batch_id(row, "id"))?;
    let started = started.collect::<Result<Vec<_>, _>>()?;
    let ends = at_end(conn, &started)?.into_iter().map(|end| (end, Duration::ZERO));
    let next = started.last().copied().filter(|_| started.len() as u64 == ENDS_PAGE);
    let (unplanned, stale) = (unplanned(conn)?, stale_batches(conn)?);
    Ok(OpenTasks { status: ends.chain(hooks).collect(), unplanned, stale, next, has_more })
}

fn unplanned(conn: &Connection) -> Result<Vec<Unplanned>> {
    let mut query = conn.prepare_cached(UNPLANNED)?;
    let read = |row: &Row<'_>| {
        Ok(Unplanned { batch: batch_id(row, "id")?, quantity: number(row, "quantity")?, options: read_options(row)? })
    };
    Ok(query.query_map([key(UNPLANNED_BATCHES)], read)?.collect::<Result<_, _>>()?)
}

fn hooks(conn: &Connection) -> Result<Vec<(StatusTask, Duration)>> {
    let now = now();
    let read = |row: &Row<'_>| {
        let not_before: Option<i64> = row.get("not_before")?;
        let millis = not_before.map_or(0, |not_before| not_before.saturating_sub(now));
        let task = StatusTask::Hook { batch: batch_id(row, "batch")?, hook: HookId(row.get("id")?) };
        Ok((task, Duration::from_millis(u64::try_from(millis).unwrap_or(0))))
    };
    let mut query = conn.prepare_cached(OPEN_HOOKS)?;
    Ok(query.query_map([key(HOOKS)], read)?.collect::<Result<_, _>>()?)
}
