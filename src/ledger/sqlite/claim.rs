//! begin: one attempt at a job, or why there is none.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    columns::{key, now, state, status},
    error::Result,
    hooks,
    insert_chunk::{count, insert},
    read::is_history_removed,
    summarize::count_anew,
};
use crate::domain::{BatchStatus, Change, Delivery, JobId};
use crate::ledger::{
    Claim, Claimed, FirstChunk, Rules, Work,
    decide::{Entry, Found, missing, poisoned},
};

const JOB: &str = include_str!("sql/read_job.sql");
const BEGIN: &str = include_str!("sql/claim.sql");
const POISON: &str = include_str!("sql/fail_poisoned.sql");
const REVIVE: &str = include_str!("sql/revive.sql");
const REOPEN: &str = include_str!("sql/retry_batch.sql");
const RUN: &str = "UPDATE batch_batches
    SET status = ?2, started_at = coalesce(started_at, ?3), version = version + 1 WHERE id = ?1 AND status <> ?2";
const ORDINALS: &str =
    "SELECT ordinal FROM batch_items WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal";

pub(super) fn claim(conn: &Connection, rules: Rules, delivery: Delivery) -> Result<Claimed> {
    let (batch, seq) = delivery.batch_and_seq();
    let found = conn.prepare_cached(JOB)?.query_row((batch.get(), key(seq)), read_found).optional()?;
    let Some(found) = found else {
        return Ok(if is_history_removed(conn, batch)? { Claimed::NothingToDo } else { Claimed::Unknown });
    };
    match found.entry(delivery, rules.max_crashes) {
        Entry::Unknown => Ok(Claimed::Unknown),
        Entry::Over => Ok(Claimed::NothingToDo),
        Entry::Failed => Ok(Claimed::Failed(found.reason())),
        Entry::Busy => Ok(Claimed::Busy),
        Entry::Paused => Ok(Claimed::Paused),
        Entry::Revived(status) => {
            revive(conn, delivery, status)?;
            claim(conn, rules, delivery)
        }
        Entry::Poisoned { crashes } => poison(conn, rules, found.job(delivery), delivery.acknowledged(), crashes),
        Entry::Free { crashes } => start(conn, delivery, found, crashes).map(Claimed::Work),
    }
}

/// The same, with the first items of the job, when nothing of it was ever written.
pub(super) fn claim_and_insert(
    conn: &Connection,
    rules: Rules,
    delivery: Delivery,
    chunk: &FirstChunk,
) -> Result<Claimed> {
    let claimed = claim(conn, rules, delivery)?;
    let Claimed::Work(work) = claimed else { return Ok(claimed) };
    let FirstChunk { range, prefix, key_fingerprint, items } = chunk;
    let whole = work.range == *range && work.missing == [range.clone()];
    let same_codes = work.prefix == *prefix && work.key_fingerprint == *key_fingerprint;
    if !chunk.begins_its_job() || !whole || !same_codes {
        return Ok(Claimed::Work(work));
    }
    let new = insert(conn, &work.claim, items)?.len() as u64;
    count(conn, &work.claim, new)?;
    let missing = range.start + new..range.end;
    let missing = if missing.is_empty() { Vec::new() } else { vec![missing] };
    Ok(Claimed::Work(Work { missing, written: new, ..work }))
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
        acknowledged: row.get("acknowledged")?,
        error: row.get("error")?,
        status: status(row, "status")?,
        history_removed: row.get("history_removed")?,
        prefix: row.get("prefix")?,
        key_fingerprint: row.get("key_fingerprint")?,
    })
}

/// From here on it is a waiting job of a batch that runs, or is paused.
fn revive(conn: &Connection, delivery: Delivery, status: BatchStatus) -> Result<()> {
    let (batch, seq) = delivery.batch_and_seq();
    conn.prepare_cached(REVIVE)?.execute((batch.get(), key(seq)))?;
    conn.prepare_cached(REOPEN)?.execute((batch.get(), status.as_str()))?;
    count_anew(conn, batch)
}

fn start(conn: &Connection, delivery: Delivery, found: Found, crashes: u32) -> Result<Work> {
    let job = found.job(delivery);
    let (batch, now) = (job.batch.get(), now());
    let running = found.status.after(Change::Claim)?;
    conn.prepare_cached(BEGIN)?.execute((batch, key(job.seq), crashes, now, delivery.acknowledged()))?;
    conn.prepare_cached(RUN)?.execute((batch, running.as_str(), now))?;
    Ok(Work {
        claim: Claim { job, epoch: found.epoch + 1 },
        missing: missing_items(conn, batch, &found.range)?,
        written: 0,
        range: found.range,
        attempts_made: found.attempts,
        prefix: found.prefix,
        key_fingerprint: found.key_fingerprint,
    })
}

/// Always looks at the rows themselves. For a job that has none this is one step down the tree, and
/// no count can be wrong about it.
fn missing_items(conn: &Connection, batch: i64, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
    let mut query = conn.prepare_cached(ORDINALS)?;
    let there = query.query_map((batch, key(range.start), key(range.end)), |row| row.get(0))?;
    Ok(missing(range, there)?)
}

fn poison(conn: &Connection, rules: Rules, job: JobId, acknowledged: Option<u32>, crashes: u32) -> Result<Claimed> {
    let failure = poisoned(crashes);
    let parameters = params![job.batch.get(), key(job.seq), crashes, failure.reason, now(), acknowledged];
    conn.prepare_cached(POISON)?.execute(parameters)?;
    hooks::job_over(conn, rules, job)?;
    Ok(Claimed::Poisoned(failure))
}
