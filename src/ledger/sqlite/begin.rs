//! begin: one attempt at a job, or why there is none.

use std::{ops::Range, time::Duration};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    columns::{key, now, state, status},
    error::Answer,
    hooks,
    read::is_history_removed,
    settle::{end_of, lower_open_jobs},
};
use crate::domain::{Change, JobId};
use crate::ledger::{
    Begun, Hold, Rules, Settled, Work,
    decide::{Entry, Found, missing, poisoned},
};

const JOB: &str = include_str!("sql/begin_job.sql");
const BEGIN: &str = include_str!("sql/begin.sql");
const POISON: &str = include_str!("sql/poison.sql");
const RUN: &str = "UPDATE batch_batches
    SET status = ?2, started_at = coalesce(started_at, ?3), version = version + 1 WHERE id = ?1";
const ORDINALS: &str =
    "SELECT ordinal FROM batch_items WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal";

pub(super) fn begin(conn: &Connection, rules: Rules, job: JobId) -> Answer<Begun> {
    let found = conn.prepare_cached(JOB)?.query_row((job.batch.get(), key(job.seq)), read_found).optional()?;
    let Some(found) = found else {
        return Ok(if is_history_removed(conn, job.batch)? { Begun::Over } else { Begun::Unknown });
    };
    match found.entry(job.generation, rules.max_crashes) {
        Entry::Unknown => Ok(Begun::Unknown),
        Entry::Over => Ok(Begun::Over),
        Entry::Paused => Ok(Begun::Paused),
        Entry::Poisoned { crashes } => poison(conn, rules, job, crashes),
        Entry::Free { crashes } => start(conn, job, found, crashes).map(Begun::Held),
    }
}

fn read_found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let (first, quantity): (u64, u64) = (row.get("first")?, row.get("quantity")?);
    Ok(Found {
        generation: row.get("generation")?,
        state: state(row, "state")?,
        epoch: row.get("epoch")?,
        range: first..first + quantity,
        attempts: row.get("attempts")?,
        crashes: row.get("crashes")?,
        status: status(row, "status")?,
        prefix: row.get("prefix")?,
        key_fingerprint: row.get("key_fingerprint")?,
    })
}

fn start(conn: &Connection, job: JobId, found: Found, crashes: u32) -> Answer<Work> {
    let (batch, now) = (job.batch.get(), now());
    let running = found.status.after(Change::Begin)?;
    conn.prepare_cached(BEGIN)?.execute((batch, key(job.seq), crashes, now))?;
    conn.prepare_cached(RUN)?.execute((batch, running.as_str(), now))?;
    Ok(Work {
        hold: Hold { job, epoch: found.epoch + 1 },
        missing: missing_items(conn, batch, &found.range)?,
        range: found.range,
        attempts_made: found.attempts,
        prefix: found.prefix,
        key_fingerprint: found.key_fingerprint,
    })
}

/// Always looks at the rows themselves. For a job that has none this is one step down the tree, and no count can be wrong about it.
fn missing_items(conn: &Connection, batch: i64, range: &Range<u64>) -> Answer<Vec<Range<u64>>> {
    let mut query = conn.prepare_cached(ORDINALS)?;
    let there = query.query_map((batch, key(range.start), key(range.end)), |row| row.get(0))?;
    Ok(missing(range, there)?)
}

fn poison(conn: &Connection, rules: Rules, job: JobId, crashes: u32) -> Answer<Begun> {
    let failure = poisoned(crashes);
    let batch = job.batch.get();
    conn.prepare_cached(POISON)?.execute(params![batch, key(job.seq), crashes, failure.reason, now()])?;
    lower_open_jobs(conn, job.batch, 1, Duration::ZERO)?;
    hooks::job_over(conn, rules, job)?;
    Ok(Begun::Poisoned(Settled::Done { end: end_of(conn, job.batch)? }, failure))
}
