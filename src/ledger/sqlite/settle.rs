//! settle: how an attempt ended, and whether it was the last of its batch.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{as_json, key, now, state},
    error::Answer,
    hooks,
};
use crate::domain::{BatchId, JobState, StatusTask};
use crate::ledger::{Hold, Rules, Settled, Settlement, decide::After};

const SETTLE: &str = include_str!("sql/settle.sql");
const STATE: &str = "SELECT state FROM batch_jobs WHERE batch = ?1 AND seq = ?2 AND generation = ?3 AND epoch = ?4";
const LOWER: &str = "UPDATE batch_batches
    SET open_jobs = open_jobs - ?2, worked_ms = worked_ms + ?3, version = version + 1 WHERE id = ?1";
const TO_CLOSE: &str = "SELECT round FROM batch_batches WHERE id = ?1 AND open_jobs = 0 AND finished_at IS NULL";

pub(super) fn settle(
    conn: &Connection,
    rules: Rules,
    hold: &Hold,
    how: &Settlement,
    worked: Duration,
) -> Answer<Settled> {
    let after = After::of(how);
    if put_down(conn, hold, &after)? {
        lower_open_jobs(conn, hold.job.batch, u64::from(!after.state.is_open()), worked)?;
        hooks::job_over(conn, rules, hold.job)?;
    } else if state_under(conn, hold)? != Some(after.state) {
        return Ok(Settled::Lost);
    }
    Ok(Settled::Done { end: end_of(conn, hold.job.batch)? })
}

/// Whether the hold was good.
fn put_down(conn: &Connection, hold: &Hold, after: &After<'_>) -> Answer<bool> {
    let job = hold.job;
    let changed = conn.prepare_cached(SETTLE)?.execute(params![
        job.batch.get(),
        key(job.seq),
        job.generation,
        hold.epoch,
        after.state.as_str(),
        after.attempts_more,
        after.not_before.map(|time| time.timestamp_millis()),
        after.failure.map(|failure| &failure.reason),
        after.failure.map(|failure| as_json(&failure.chunks)).transpose()?,
        (!after.state.is_open()).then(now),
    ])?;
    Ok(changed == 1)
}

/// Where the job stands, if nobody began or recreated it since: the same call took effect before when it stands where that would leave it.
fn state_under(conn: &Connection, hold: &Hold) -> Answer<Option<JobState>> {
    let job = hold.job;
    let mut query = conn.prepare_cached(STATE)?;
    let key = (job.batch.get(), key(job.seq), job.generation, hold.epoch);
    Ok(query.query_row(key, |row| state(row, "state")).optional()?)
}

/// Puts down in the batch that `fewer` of its jobs are open.
pub(super) fn lower_open_jobs(conn: &Connection, batch: BatchId, fewer: u64, worked: Duration) -> Answer<()> {
    let worked = u64::try_from(worked.as_millis()).map_or(i64::MAX, key);
    conn.prepare_cached(LOWER)?.execute((batch.get(), key(fewer), worked))?;
    Ok(())
}

/// The task that closes the batch, when nothing else is left to do.
pub(super) fn end_of(conn: &Connection, batch: BatchId) -> Answer<Option<StatusTask>> {
    let round = conn.prepare_cached(TO_CLOSE)?.query_row([batch.get()], |row| row.get(0)).optional()?;
    Ok(round.map(|round| StatusTask::End { batch, round }))
}
