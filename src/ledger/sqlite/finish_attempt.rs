//! `finish_attempt`: records how an attempt ended.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{columns::now, error::Result, hooks};
use crate::{
    domain::{Failure, JobState},
    ledger::{
        columns::{Columns, as_json, key, millis},
        decide::JobChange,
        types::{AttemptResult, Claim, Finished, Rules},
    },
};

const FINISH_ATTEMPT: &str = include_str!("sql/finish_attempt.sql");
const STATE: &str = "SELECT state FROM rocket_batch_jobs
    WHERE batch = ?1 AND seq = ?2 AND generation = ?3 AND epoch = ?4";

pub(super) fn finish_attempt(
    conn: &Connection,
    rules: Rules,
    claim: &Claim,
    result: &AttemptResult,
    worked: Duration,
) -> Result<Finished> {
    let change = JobChange::of(result);
    if record(conn, claim, &change, worked)? {
        hooks::record_job_end(conn, rules, claim.job)?;
    } else if state_of_claim(conn, claim)? != Some(change.state) {
        return Ok(Finished::Fenced);
    }
    Ok(Finished::Recorded)
}

/// Returns whether the claim was current.
fn record(conn: &Connection, claim: &Claim, change: &JobChange<'_>, worked: Duration) -> Result<bool> {
    let job = claim.job;
    let changed = conn.prepare_cached(FINISH_ATTEMPT)?.execute(params![
        job.batch.get(),
        key(job.seq),
        job.generation,
        claim.epoch,
        change.state.as_str(),
        change.attempts_more,
        change.delay.map(|delay| now().saturating_add(millis(delay))),
        change.failure.map(|failure| &failure.reason),
        change.failure.map(|failure| as_json(&failure.chunks)).transpose()?,
        (!change.state.is_open()).then(now),
        millis(worked),
        change.failure.map(Failure::group),
    ])?;
    Ok(changed == 1)
}

/// Returns the state of the job, if it was not claimed or recreated after `claim`. If it is the
/// state that a call would set, the same call took effect before.
pub(super) fn state_of_claim(conn: &Connection, claim: &Claim) -> Result<Option<JobState>> {
    let job = claim.job;
    let mut query = conn.prepare_cached(STATE)?;
    let key = (job.batch.get(), key(job.seq), job.generation, claim.epoch);
    Ok(query.query_row(key, |row| row.state("state")).optional()?)
}
