//! settle: how an attempt ended.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{as_json, key, millis, now, state},
    error::Answer,
    hooks,
};
use crate::domain::JobState;
use crate::ledger::{Hold, Rules, Settled, Settlement, decide::After};

const SETTLE: &str = include_str!("sql/settle.sql");
const STATE: &str = "SELECT state FROM batch_jobs WHERE batch = ?1 AND seq = ?2 AND generation = ?3 AND epoch = ?4";

pub(super) fn settle(
    conn: &Connection,
    rules: Rules,
    hold: &Hold,
    how: &Settlement,
    worked: Duration,
) -> Answer<Settled> {
    let after = After::of(how);
    if record(conn, hold, &after, worked)? {
        hooks::job_over(conn, rules, hold.job)?;
    } else if state_under(conn, hold)? != Some(after.state) {
        return Ok(Settled::Lost);
    }
    Ok(Settled::Done)
}

/// Whether the hold was good.
fn record(conn: &Connection, hold: &Hold, after: &After<'_>, worked: Duration) -> Answer<bool> {
    let job = hold.job;
    let changed = conn.prepare_cached(SETTLE)?.execute(params![
        job.batch.get(),
        key(job.seq),
        job.generation,
        hold.epoch,
        after.state.as_str(),
        after.attempts_more,
        after.delay.map(|delay| now().saturating_add(millis(delay))),
        after.failure.map(|failure| &failure.reason),
        after.failure.map(|failure| as_json(&failure.chunks)).transpose()?,
        (!after.state.is_open()).then(now),
        millis(worked),
    ])?;
    Ok(changed == 1)
}

/// Where the job stands, if nobody began or recreated it since: the same call took effect before when it stands where that would leave it.
pub(super) fn state_under(conn: &Connection, hold: &Hold) -> Answer<Option<JobState>> {
    let job = hold.job;
    let mut query = conn.prepare_cached(STATE)?;
    let key = (job.batch.get(), key(job.seq), job.generation, hold.epoch);
    Ok(query.query_row(key, |row| state(row, "state")).optional()?)
}
