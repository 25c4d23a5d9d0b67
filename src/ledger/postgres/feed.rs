//! `open_jobs`, `open_tasks`: the jobs and tasks to put into the queues.

use std::time::Duration;

use chrono::Utc;
use deadpool_postgres::{Client, GenericClient};

use super::{close::batches_to_close, error::Result, item_checks::open_checks, pool::Verb, summarize::stale_batches};
use crate::domain::{BatchId, StatusTask};
use crate::ledger::{
    columns::{Columns, key, millis},
    decide::{
        Candidate, DUE_JOBS, ENDS_PAGE, HOOKS, Limited, UNPLANNED_BATCHES, Window, WindowSearch, batches_to_feed,
        hook_tasks, limits, next_due, next_page,
    },
    operation,
    query::{JobQuery, OpenJob, OpenJobs, OpenTasks, TaskQuery},
    rows,
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
const UNPLANNED: &str = "SELECT id, quantity, batch_size, prefix, max_jobs FROM batches
    WHERE jobs IS NULL AND (close_not_before IS NULL OR close_not_before <= now()
        OR close_not_before > now() + $2::bigint * interval '1 ms')
    ORDER BY id LIMIT $1";
const OPEN_HOOKS: &str = "SELECT id, batch, not_before FROM hooks WHERE state = 'open' ORDER BY id LIMIT $1";

/// See [`Ledger::open_jobs`](crate::ledger::Ledger::open_jobs).
pub(super) struct Jobs(pub JobQuery);

impl Verb for Jobs {
    type Output = OpenJobs;
    const OPERATION: &'static str = operation::OPEN_JOBS;

    async fn run(&self, conn: &mut Client) -> Result<OpenJobs> {
        conn.execute(&conn.prepare_cached(CAP_DELAYS).await?, &[&millis(self.0.max_backoff)]).await?;
        let Window { batches, has_more } = self.window(conn).await?;
        let (jobs, more) = self.next_jobs(conn, &batches).await?;
        let due = conn.query(&conn.prepare_cached(DUE).await?, &[&key(DUE_JOBS)]).await?;
        let due = due.iter().map(rows::open_job).collect::<Result<Vec<_>>>()?;
        let millis: Option<i64> = conn.query_one(&conn.prepare_cached(NEXT_DUE).await?, &[]).await?.try_get(0)?;
        let next_due = next_due(due.len(), millis);
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
        let queued = queued.iter().map(|row| row.number("jobs")).collect::<Result<Vec<_>>>()?;
        let limits = limits(&queued, share, self.0.free);
        let lookups: Vec<i64> = limits.iter().map(|limit| key(*limit + 1)).collect();
        let rows = conn.query(&conn.prepare_cached(NEXT_JOBS).await?, &[&ids, &offered, &lookups]).await?;
        let jobs = rows.iter().map(rows::open_job).collect::<Result<Vec<_>>>()?;
        Ok(Limited { batches: &batches, limits: &limits }.apply(jobs))
    }
}

async fn candidates(conn: &Client, sql: &str, search: &WindowSearch) -> Result<Vec<Candidate>> {
    let (max, ready) = (key(search.candidates()), key(search.ready_limit()));
    let rows = conn.query(&conn.prepare_cached(sql).await?, &[&max, &ready]).await?;
    rows.iter().map(rows::candidate).collect()
}

/// See [`Ledger::open_tasks`](crate::ledger::Ledger::open_tasks).
pub(super) struct Tasks {
    pub query: TaskQuery,
    /// The longest delay before the host's finish hook is called again.
    pub max_delay: Duration,
}

impl Verb for Tasks {
    type Output = OpenTasks;
    const OPERATION: &'static str = operation::OPEN_TASKS;

    async fn run(&self, conn: &mut Client) -> Result<OpenTasks> {
        let hooks = hook_tasks(hooks(conn).await?);
        let TaskQuery::All { close_after } = self.query else { return Ok(hooks) };
        let after = close_after.map_or(0, BatchId::get);
        let rows = conn.query(&conn.prepare_cached(STARTED).await?, &[&after, &key(ENDS_PAGE)]).await?;
        let started = rows.iter().map(|row| row.batch_id("id")).collect::<Result<Vec<_>>>()?;
        let tasks = batches_to_close(conn, self.max_delay, &started).await?;
        let tasks = tasks.into_iter().map(|task| (task, Duration::ZERO));
        let (unplanned, stale) = (unplanned(conn, self.max_delay).await?, stale_batches(conn).await?);
        let checks = open_checks(conn).await?.into_iter().map(|task| (task, Duration::ZERO));
        let (status, next) = (tasks.chain(hooks.status).chain(checks).collect(), next_page(&started));
        Ok(OpenTasks { status, unplanned, stale, next, has_more: hooks.has_more })
    }
}

async fn unplanned(conn: &Client, max_delay: Duration) -> Result<Vec<Unplanned>> {
    let statement = conn.prepare_cached(UNPLANNED).await?;
    let rows = conn.query(&statement, &[&key(UNPLANNED_BATCHES), &millis(max_delay)]).await?;
    rows.iter().map(rows::unplanned).collect()
}

async fn hooks(conn: &impl GenericClient) -> Result<Vec<(StatusTask, Duration)>> {
    let rows = conn.query(&conn.prepare_cached(OPEN_HOOKS).await?, &[&key(HOOKS)]).await?;
    let now = Utc::now();
    rows.iter().map(|row| rows::hook_task(row, now)).collect()
}
