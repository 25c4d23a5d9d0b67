//! `open_jobs`, `open_tasks`: the jobs and tasks to put into the queues.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    close::at_end,
    columns::{batch_id, key, millis, number, small_number},
    error::Result,
    pool::Verb,
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

const CAP_DELAYS: &str = include_str!("sql/cap_delays.sql");
const OLDEST: &str = include_str!("sql/oldest_batches.sql");
const SMALLEST: &str = include_str!("sql/smallest_batches.sql");
const QUEUED: &str = include_str!("sql/queued_jobs.sql");
const NEXT_JOBS: &str = include_str!("sql/next_jobs.sql");
const DUE: &str = include_str!("sql/due_jobs.sql");
const NEXT_DUE: &str = include_str!("sql/next_due.sql");
const STARTED: &str = "SELECT id FROM batches
    WHERE jobs > 0 AND status IN ('running', 'paused') AND id > $1 ORDER BY id LIMIT $2";
const UNPLANNED: &str =
    "SELECT id, quantity, batch_size, prefix, max_jobs FROM batches WHERE jobs IS NULL ORDER BY id LIMIT $1";
const OPEN_HOOKS: &str = "SELECT id, batch, not_before FROM hooks WHERE state = 'open' ORDER BY id LIMIT $1";

/// See [`Ledger::open_jobs`](crate::ledger::Ledger::open_jobs).
pub(super) struct Jobs(pub JobQuery);

#[async_trait]
impl Verb for Jobs {
    type Output = OpenJobs;
    const OPERATION: &'static str = "find open jobs";

    async fn run(&self, conn: &mut Client) -> Result<OpenJobs> {
        conn.execute(&conn.prepare_cached(CAP_DELAYS).await?, &[&millis(self.0.max_backoff)]).await?;
        let Window { batches, has_more } = self.window(conn).await?;
        let (jobs, more) = self.next_jobs(conn, &batches).await?;
        let due = conn.query(&conn.prepare_cached(DUE).await?, &[&key(DUE_JOBS)]).await?;
        let due = due.iter().map(read_job).collect::<Result<Vec<_>>>()?;
        let next_due: Option<i64> = conn.query_one(&conn.prepare_cached(NEXT_DUE).await?, &[]).await?.try_get(0)?;
        let next_due = next_due.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or_default()));
        let next_due = if due.len() as u64 == DUE_JOBS { Some(Duration::ZERO) } else { next_due };
        Ok(OpenJobs { window: batches, jobs, due, has_more: has_more || more, next_due })
    }
}

impl Jobs {
    async fn window(&self, conn: &Client) -> Result<Window> {
        let mut search = WindowSearch::of(self.0.window);
        loop {
            let oldest = candidates(conn, OLDEST, &search).await?;
            let smallest = candidates(conn, SMALLEST, &search).await?;
            if let Some(window) = search.select(&oldest, &smallest) {
                return Ok(window);
            }
        }
    }

    /// The next jobs of the batches in the window, and whether these have more.
    async fn next_jobs(&self, conn: &Client, window: &[BatchId]) -> Result<(Vec<OpenJob>, bool)> {
        let share = self.0.capacity.share(window.len() as u64);
        let batches = batches_to_feed(&self.0, window);
        let (ids, offered): (Vec<i64>, Vec<i64>) = batches.iter().map(|(id, from)| (id.get(), key(*from))).unzip();
        let queued = conn.query(&conn.prepare_cached(QUEUED).await?, &[&ids, &offered, &key(share)]).await?;
        let queued = queued.iter().map(|row| number(row, "jobs")).collect::<Result<Vec<_>>>()?;
        let limits = limits(&queued, share, self.0.free);
        let lookups: Vec<i64> = limits.iter().map(|limit| key(*limit + 1)).collect();
        let rows = conn.query(&conn.prepare_cached(NEXT_JOBS).await?, &[&ids, &offered, &lookups]).await?;
        let jobs = rows.iter().map(read_job).collect::<Result<Vec<_>>>()?;
        Ok(Limited { batches: &batches, limits: &limits }.apply(jobs))
    }
}

async fn candidates(conn: &Client, sql: &str, search: &WindowSearch) -> Result<Vec<Candidate>> {
    let (max, ready) = (key(search.candidates()), key(search.ready_limit()));
    let rows = conn.query(&conn.prepare_cached(sql).await?, &[&max, &ready]).await?;
    rows.iter().map(|row| Ok(Candidate { batch: batch_id(row, "id")?, ready: number(row, "ready")? })).collect()
}

fn read_job(row: &Row) -> Result<OpenJob> {
    let (batch, seq, generation) = (batch_id(row, "batch")?, number(row, "seq")?, small_number(row, "generation")?);
    Ok(OpenJob {
        job: JobId { batch, seq, generation },
        first: number(row, "first")?,
        quantity: number(row, "quantity")?,
        rank: number(row, "rank")?,
        attempts_made: small_number(row, "attempts")?,
    })
}

/// See [`Ledger::open_tasks`](crate::ledger::Ledger::open_tasks).
pub(super) struct Tasks(pub TaskQuery);

#[async_trait]
impl Verb for Tasks {
    type Output = OpenTasks;
    const OPERATION: &'static str = "find open tasks";

    async fn run(&self, conn: &mut Client) -> Result<OpenTasks> {
        let hooks = hooks(conn).await?;
        let has_more = hooks.len() as u64 == HOOKS;
        let TaskQuery::All { close_after } = self.0 else {
            return Ok(OpenTasks { status: hooks, has_more, ..OpenTasks::default() });
        };
        let after = close_after.map_or(0, BatchId::get);
        let rows = conn.query(&conn.prepare_cached(STARTED).await?, &[&after, &key(ENDS_PAGE)]).await?;
        let started = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<i64>, _>>()?;
        let ends = at_end(conn, &started).await?.into_iter().map(|end| (end, Duration::ZERO));
        let full = started.len() as u64 == ENDS_PAGE;
        let next = rows.last().filter(|_| full).map(|row| batch_id(row, "id")).transpose()?;
        let (unplanned, stale) = (unplanned(conn).await?, stale_batches(conn).await?);
        Ok(OpenTasks { status: ends.chain(hooks).collect(), unplanned, stale, next, has_more })
    }
}

async fn unplanned(conn: &Client) -> Result<Vec<Unplanned>> {
    let rows = conn.query(&conn.prepare_cached(UNPLANNED).await?, &[&key(UNPLANNED_BATCHES)]).await?;
    let read = |row: &Row| {
        let (batch, quantity, options) = (batch_id(row, "id")?, number(row, "quantity")?, read_options(row)?);
        Ok(Unplanned { batch, quantity, options })
    };
    rows.iter().map(read).collect()
}

async fn hooks(conn: &impl GenericClient) -> Result<Vec<(StatusTask, Duration)>> {
    let rows = conn.query(&conn.prepare_cached(OPEN_HOOKS).await?, &[&key(HOOKS)]).await?;
    rows.iter().map(hook).collect()
}

fn hook(row: &Row) -> Result<(StatusTask, Duration)> {
    let hook = HookId(row.try_get("id")?);
    let not_before: Option<DateTime<Utc>> = row.try_get("not_before")?;
    let delay = not_before.and_then(|not_before| (not_before - Utc::now()).to_std().ok()).unwrap_or_default();
    Ok((StatusTask::Hook { batch: batch_id(row, "batch")?, hook }, delay))
}
