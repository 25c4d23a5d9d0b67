//! open_work: what ought to be in the queues.

use std::time::Duration;

use rusqlite::{Connection, Row};

use super::{
    columns::{batch_id, key, now},
    error::Answer,
    read::read_options,
};
use crate::domain::{BatchId, HookId, JobId, Room, StatusTask};
use crate::ledger::{OpenJob, OpenWork, Unplanned};

/// Batches to plan. Each may be an insert of many jobs, and others wait to be fed.
const UNPLANNED_BATCHES: i64 = 100;

/// Tasks of each kind that follow up on an end. They are quick, and the next look finds the others.
const STATUS_TASKS: usize = 1_000;

const OPEN_BATCHES: &str = "SELECT id, open_jobs FROM batch_batches
    WHERE status IN ('pending', 'running') AND open_jobs > 0 ORDER BY id LIMIT ?1";
const OPEN_JOBS: &str = include_str!("sql/open_jobs.sql");
const TO_CLOSE: &str = "SELECT id, round FROM batch_batches INDEXED BY batch_batches_to_close
    WHERE open_jobs = 0 AND finished_at IS NULL ORDER BY id LIMIT ?1";
const UNPLANNED: &str =
    "SELECT id, quantity, batch_size, prefix, max_jobs FROM batch_batches INDEXED BY batch_batches_unplanned
    WHERE jobs IS NULL ORDER BY id LIMIT ?1";
const HOOKS: &str = "SELECT id, batch, not_before FROM batch_hooks INDEXED BY batch_hooks_open
    WHERE state = 'open' ORDER BY id LIMIT ?1";

pub(super) fn open_work(conn: &Connection, room: Room) -> Answer<OpenWork> {
    let now = now();
    let (jobs, jobs_left_out) = jobs(conn, room, now)?;
    let (mut status, ends_left_out) = ends(conn)?;
    let (hooks, hooks_left_out) = hooks(conn, now)?;
    status.extend(hooks);
    let unplanned = unplanned(conn)?;
    Ok(OpenWork { jobs, status, unplanned, left_out: jobs_left_out || ends_left_out || hooks_left_out })
}

fn jobs(conn: &Connection, room: Room, now: i64) -> Answer<(Vec<OpenJob>, bool)> {
    let batches = open_batches(conn, room)?;
    let share = room.share(batches.len() as u64);
    let (mut jobs, mut left_out) = (Vec::new(), false);
    for (batch, open) in batches {
        let take = share.min(room.total.saturating_sub(jobs.len() as u64));
        left_out |= take < open;
        if take == 0 {
            break;
        }
        first_open_jobs(conn, batch, take, now, &mut jobs)?;
    }
    Ok((jobs, left_out))
}

/// One more than there is room for says the same as all of them: the share is one job then.
fn open_batches(conn: &Connection, room: Room) -> Answer<Vec<(BatchId, u64)>> {
    let mut query = conn.prepare_cached(OPEN_BATCHES)?;
    let open = query
        .query_map([key(room.total.saturating_add(1))], |row| Ok((batch_id(row, "id")?, row.get("open_jobs")?)))?;
    Ok(open.collect::<Result<_, _>>()?)
}

fn unplanned(conn: &Connection) -> Answer<Vec<Unplanned>> {
    let mut query = conn.prepare_cached(UNPLANNED)?;
    let read = |row: &Row<'_>| {
        Ok(Unplanned { batch: batch_id(row, "id")?, quantity: row.get("quantity")?, options: read_options(row)? })
    };
    Ok(query.query_map([UNPLANNED_BATCHES], read)?.collect::<Result<_, _>>()?)
}

fn first_open_jobs(conn: &Connection, batch: BatchId, most: u64, now: i64, jobs: &mut Vec<OpenJob>) -> Answer<()> {
    let mut query = conn.prepare_cached(OPEN_JOBS)?;
    let mut rows = query.query((batch.get(), key(most)))?;
    let mut first_seq = None;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get("seq")?;
        let rank = seq - *first_seq.get_or_insert(seq);
        jobs.push(OpenJob {
            job: JobId { batch, seq, generation: row.get("generation")? },
            first: row.get("first")?,
            quantity: row.get("quantity")?,
            rank,
            delay: delay(row, now)?,
            attempts_made: row.get("attempts")?,
        });
    }
    Ok(())
}

fn delay(row: &Row<'_>, now: i64) -> rusqlite::Result<Duration> {
    let not_before: Option<i64> = row.get("not_before")?;
    let millis = not_before.map_or(0, |not_before| not_before.saturating_sub(now));
    Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

/// Tasks with the time until they are due, and whether there are more.
type Tasks = (Vec<(StatusTask, Duration)>, bool);

fn ends(conn: &Connection) -> Answer<Tasks> {
    tasks(conn, TO_CLOSE, |row| {
        Ok((StatusTask::End { batch: batch_id(row, "id")?, round: row.get("round")? }, Duration::ZERO))
    })
}

fn hooks(conn: &Connection, now: i64) -> Answer<Tasks> {
    tasks(conn, HOOKS, |row| {
        let hook = HookId(row.get("id")?);
        Ok((StatusTask::Hook { batch: batch_id(row, "batch")?, hook }, delay(row, now)?))
    })
}

fn tasks<F>(conn: &Connection, sql: &str, read: F) -> Answer<Tasks>
where
    F: FnMut(&Row<'_>) -> rusqlite::Result<(StatusTask, Duration)>,
{
    let mut query = conn.prepare_cached(sql)?;
    let mut tasks: Vec<_> = query.query_map([STATUS_TASKS + 1], read)?.collect::<Result<_, _>>()?;
    let more = tasks.len() > STATUS_TASKS;
    tasks.truncate(STATUS_TASKS);
    Ok((tasks, more))
}
