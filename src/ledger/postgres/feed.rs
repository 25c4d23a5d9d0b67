//! open_work: what ought to be in the queues.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::Client;
use tokio_postgres::Row;

use super::{
    columns::{batch_id, key, number, small_number},
    error::Answer,
    pool::Verb,
    read::read_options,
};
use crate::domain::{BatchId, HookId, JobId, Room, StatusTask};
use crate::ledger::{OpenJob, OpenWork, Unplanned};

/// Batches to plan. Each may be an insert of many jobs, and others wait to be fed.
const UNPLANNED_BATCHES: i64 = 100;

/// Tasks of each kind that follow up on an end. They are quick, and the next look finds the others.
const STATUS_TASKS: usize = 1_000;

const OPEN_BATCHES: &str = "SELECT id, open_jobs FROM batches
    WHERE status IN ('pending', 'running') AND open_jobs > 0 ORDER BY id LIMIT $1";
const OPEN_JOBS: &str = include_str!("sql/open_jobs.sql");
const TO_CLOSE: &str = "SELECT id, round FROM batches WHERE open_jobs = 0 AND finished_at IS NULL ORDER BY id LIMIT $1";
const UNPLANNED: &str =
    "SELECT id, quantity, batch_size, prefix, max_jobs FROM batches WHERE jobs IS NULL ORDER BY id LIMIT $1";
const HOOKS: &str = "SELECT id, batch, not_before FROM hooks WHERE state = 'open' ORDER BY id LIMIT $1";

/// See [`Ledger::open_work`](crate::ledger::Ledger::open_work).
pub(super) struct Feed(pub Room);

#[async_trait]
impl Verb for Feed {
    type Answer = OpenWork;
    const DOING: &'static str = "look for open work";

    async fn run(&self, conn: &mut Client) -> Answer<OpenWork> {
        let (jobs, jobs_left_out) = self.jobs(conn).await?;
        let (mut status, ends_left_out) = tasks(conn, TO_CLOSE, end).await?;
        let (hooks, hooks_left_out) = tasks(conn, HOOKS, hook).await?;
        status.extend(hooks);
        let unplanned = unplanned(conn).await?;
        Ok(OpenWork { jobs, status, unplanned, left_out: jobs_left_out || ends_left_out || hooks_left_out })
    }
}

impl Feed {
    async fn jobs(&self, conn: &Client) -> Answer<(Vec<OpenJob>, bool)> {
        // One more than there is room for says the same as all of them: the share is one job then.
        let most = key(self.0.total.saturating_add(1));
        let open = conn.query(&conn.prepare_cached(OPEN_BATCHES).await?, &[&most]).await?;
        let share = self.0.share(open.len() as u64);
        let (mut ids, mut takes, mut left, mut left_out) = (Vec::new(), Vec::new(), self.0.total, false);
        for row in &open {
            let open_jobs = number(row, "open_jobs")?;
            let take = share.min(left);
            left_out |= take < open_jobs;
            if take == 0 {
                break;
            }
            ids.push(batch_id(row, "id")?.get());
            takes.push(key(take));
            left -= take.min(open_jobs);
        }
        let rows = conn.query(&conn.prepare_cached(OPEN_JOBS).await?, &[&ids, &takes]).await?;
        Ok((ranked(&rows)?, left_out))
    }
}

async fn unplanned(conn: &Client) -> Answer<Vec<Unplanned>> {
    let rows = conn.query(&conn.prepare_cached(UNPLANNED).await?, &[&UNPLANNED_BATCHES]).await?;
    let read = |row: &Row| {
        let (batch, quantity, options) = (batch_id(row, "id")?, number(row, "quantity")?, read_options(row)?);
        Ok(Unplanned { batch, quantity, options })
    };
    rows.iter().map(read).collect()
}

/// Jobs with their place, counted from the first one of their batch.
fn ranked(rows: &[Row]) -> Answer<Vec<OpenJob>> {
    let (now, mut first) = (Utc::now(), None::<(BatchId, u64)>);
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        let (batch, seq) = (batch_id(row, "batch")?, number(row, "seq")?);
        let first_seq = first.filter(|(of, _)| *of == batch).map_or(seq, |(_, seq)| seq);
        first = Some((batch, first_seq));
        jobs.push(OpenJob {
            job: JobId { batch, seq, generation: small_number(row, "generation")? },
            first: number(row, "first")?,
            quantity: number(row, "quantity")?,
            rank: seq - first_seq,
            delay: delay(row, now)?,
            attempts_made: small_number(row, "attempts")?,
        });
    }
    Ok(jobs)
}

fn delay(row: &Row, now: DateTime<Utc>) -> Answer<Duration> {
    let not_before: Option<DateTime<Utc>> = row.try_get("not_before")?;
    Ok(not_before.and_then(|not_before| (not_before - now).to_std().ok()).unwrap_or_default())
}

fn end(row: &Row) -> Answer<(StatusTask, Duration)> {
    Ok((StatusTask::End { batch: batch_id(row, "id")?, round: small_number(row, "round")? }, Duration::ZERO))
}

fn hook(row: &Row) -> Answer<(StatusTask, Duration)> {
    let hook = HookId(row.try_get("id")?);
    Ok((StatusTask::Hook { batch: batch_id(row, "batch")?, hook }, delay(row, Utc::now())?))
}

/// Tasks with the time until they are due, and whether there are more.
type Tasks = (Vec<(StatusTask, Duration)>, bool);

async fn tasks(conn: &Client, sql: &str, read: fn(&Row) -> Answer<(StatusTask, Duration)>) -> Answer<Tasks> {
    let most = key(STATUS_TASKS as u64 + 1);
    let rows = conn.query(&conn.prepare_cached(sql).await?, &[&most]).await?;
    let more = rows.len() > STATUS_TASKS;
    let tasks = rows.iter().take(STATUS_TASKS).map(read).collect::<Answer<_>>()?;
    Ok((tasks, more))
}
