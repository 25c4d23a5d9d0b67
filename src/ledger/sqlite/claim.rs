//! claim: starts an attempt at a job, or returns why it can't.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    audit,
    columns::now,
    error::Result,
    hooks,
    insert_chunk::{add_to_job, insert},
    read::is_history_removed,
    summarize::count_batch,
};
use crate::{
    domain::{BatchStatus, Caller, Change, Delivery, JobId},
    ledger::{
        columns::{Columns, key},
        decide::{ClaimDecision, JobSnapshot, NewAuditEntry, missing, missing_after, poisoned, without_row},
        rows,
        types::{Claimed, FirstChunk, Rules, Work},
    },
};

const READ_JOB: &str = include_str!("sql/read_job.sql");
const CLAIM: &str = include_str!("sql/claim.sql");
const FAIL_POISONED: &str = include_str!("sql/fail_poisoned.sql");
const REVIVE: &str = include_str!("sql/revive.sql");
const REOPEN: &str = include_str!("sql/retry_batch.sql");
const RUN: &str = "UPDATE rocket_batch_batches
    SET status = ?2, started_at = coalesce(started_at, ?3), version = version + 1 WHERE id = ?1 AND status <> ?2";
const ORDINALS: &str =
    "SELECT ordinal FROM rocket_batch_items WHERE batch = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal";

pub(super) fn claim(conn: &Connection, rules: Rules, delivery: Delivery) -> Result<Claimed> {
    let (batch, seq) = delivery.batch_and_seq();
    let job =
        conn.prepare_cached(READ_JOB)?.query_row((batch.get(), key(seq)), |row| rows::job_snapshot(row)).optional()?;
    let Some(job) = job else {
        return Ok(without_row(is_history_removed(conn, batch)?));
    };
    match job.decide(delivery, rules.max_crashes) {
        ClaimDecision::Refuse(claimed) => Ok(claimed),
        ClaimDecision::Revive(status) => {
            revive(conn, job.job(delivery), job.status, status)?;
            claim(conn, rules, delivery)
        }
        ClaimDecision::Poison { crashes } => poison(conn, rules, job.job(delivery), delivery.acknowledged(), crashes),
        ClaimDecision::Start { crashes } => start(conn, delivery, job, crashes).map(Claimed::Work),
    }
}

/// Claims the job, and inserts its first chunk if the job has no items.
pub(super) fn claim_and_insert(
    conn: &Connection,
    rules: Rules,
    delivery: Delivery,
    chunk: &FirstChunk,
) -> Result<Claimed> {
    let claimed = claim(conn, rules, delivery)?;
    let Claimed::Work(work) = claimed else { return Ok(claimed) };
    let FirstChunk { range, prefix, key_fingerprint, items } = chunk;
    let is_empty = work.range == *range && work.missing == [range.clone()];
    let same_codes = work.prefix == *prefix && work.key_fingerprint == *key_fingerprint;
    if !chunk.is_prefix_of_job() || !is_empty || !same_codes {
        return Ok(Claimed::Work(work));
    }
    let new = insert(conn, &work.claim, items)?.len() as u64;
    add_to_job(conn, &work.claim, new)?;
    Ok(Claimed::Work(Work { missing: missing_after(range, new), inserted: new, ..work }))
}

/// Sets the job waiting and its batch to `status`, which is running or paused.
fn revive(conn: &Connection, job: JobId, before: BatchStatus, status: BatchStatus) -> Result<()> {
    conn.prepare_cached(REVIVE)?.execute((job.batch.get(), key(job.seq)))?;
    conn.prepare_cached(REOPEN)?.execute((job.batch.get(), status.as_str()))?;
    audit::record(conn, &NewAuditEntry::of_manual_retry(job, &Caller::default(), before))?;
    count_batch(conn, job.batch)
}

fn start(conn: &Connection, delivery: Delivery, snapshot: JobSnapshot, crashes: u32) -> Result<Work> {
    let job = snapshot.job(delivery);
    let (batch, now) = (job.batch.get(), now());
    let running = snapshot.status.after(Change::Claim)?;
    conn.prepare_cached(CLAIM)?.execute((batch, key(job.seq), crashes, now, delivery.acknowledged()))?;
    conn.prepare_cached(RUN)?.execute((batch, running.as_str(), now))?;
    let missing = missing_items(conn, batch, &snapshot.range)?;
    Ok(snapshot.into_work(delivery, 1, missing))
}

/// Looks at the rows themselves, so no count can be wrong. For a job without items this is one
/// lookup in the index.
fn missing_items(conn: &Connection, batch: i64, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
    let mut query = conn.prepare_cached(ORDINALS)?;
    let existing = query.query_map((batch, key(range.start), key(range.end)), |row| row.number("ordinal"))?;
    Ok(missing(range, existing)?)
}

fn poison(conn: &Connection, rules: Rules, job: JobId, acknowledged: Option<u32>, crashes: u32) -> Result<Claimed> {
    let failure = poisoned(crashes);
    let parameters =
        params![job.batch.get(), key(job.seq), crashes, failure.reason, now(), acknowledged, failure.group()];
    conn.prepare_cached(FAIL_POISONED)?.execute(parameters)?;
    hooks::record_job_end(conn, rules, job)?;
    Ok(Claimed::Poisoned(failure))
}
