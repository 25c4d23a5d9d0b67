//! settle: how an attempt ended.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::{as_json, key, millis, now, state},
    error::Result,
    hooks,
};
use crate::domain::JobState;
use crate::ledger::{AttemptResult, Claim, Finished, Rules, decide::After};

const SETTLE: &str = include_str!("sql/finish_attempt.sql");
const STATE: &str = "SELECT state FROM batch_jobs WHERE batch = ?1 AND seq = ?2 AND generation = ?3 AND epoch = ?4";

pub(super) fn finish_attempt(
    conn: &Connection,
    rules: Rules,
    claim: &Claim,
    how: &AttemptResult,
    worked: Duration,
) -> Result<Finished> {
    let after = After::of(how);
    if record(conn, claim, &after, worked)? {
        hooks::job_over(conn, rules, claim.job)?;
    } else if state_under(conn, claim)? != Some(after.state) {
        return Ok(Finished::Lost);
    }
    Ok(Finished::Done)
}

/// Whether the hold was good.
fn record(conn: &Connection, claim: &Claim, after: &After<'_>, worked: Duration) -> Result<bool> {
    let job = claim.job;
    let changed = conn.prepare_cached(SETTLE)?.execute(params![
        job.batch.get(),
        key(job.seq),
        job.generation,
        claim.epoch,
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

/// Where the job stands, if nobody began or recreated it since: the same call took effect before
/// when it stands where that would leave it.
pub(super) fn state_under(conn: &Connection, claim: &Claim) -> Result<Option<JobState>> {
    let job = claim.job;
    let mut query = conn.prepare_cached(STATE)?;
    let key = (job.batch.get(), key(job.seq), job.generation, claim.epoch);
    Ok(query.query_row(key, |row| state(row, "state")).optional()?)
}
