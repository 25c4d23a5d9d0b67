//! hook, `settle_hook`, and the rows that they are about: what the host must be told.
//!
//! A row is written in the transaction of the end that it tells of. It goes when it is delivered,
//! and stays, with its error, when it is given up.

use rusqlite::{Connection, OptionalExtension, Row};

use super::{
    columns::{as_json, json, key, state},
    error::Result,
    read::batch,
};
use crate::domain::{BatchFinished, BatchId, HookEvent, HookId, JobEnded, JobId, JobState};
use crate::ledger::{Hook, HookKinds, HookOutcome, Rules};

const INSERT: &str = "INSERT INTO batch_hooks (batch, kind, event) VALUES (?1, ?2, ?3)";
const JOB: &str = "SELECT state, generation, first, quantity, created, attempts, error FROM batch_jobs
    WHERE batch = ?1 AND seq = ?2";
const HOOK: &str = "SELECT event, attempts FROM batch_hooks WHERE id = ?1 AND state = 'open'";
const DELIVERED: &str = "DELETE FROM batch_hooks WHERE id = ?1 AND state = 'open'";
const AGAIN: &str = "UPDATE batch_hooks SET attempts = attempts + 1, error = ?3, not_before = ?4
    WHERE id = ?1 AND attempts = ?2 AND state = 'open'";
const GIVEN_UP: &str =
    "UPDATE batch_hooks SET attempts = attempts + 1, error = ?3, not_before = NULL, state = 'given_up'
    WHERE id = ?1 AND attempts = ?2 AND state = 'open'";
/// The batch may have been forgotten while the hook was still open: then it has something left to
/// remove.
const NOT_YET_GONE: &str = "UPDATE batch_batches SET history = 'pruning'
    WHERE id = (SELECT batch FROM batch_hooks WHERE id = ?1) AND history = 'pruned'";

/// Writes down that a job ended, if it did and the host wants to know.
pub(super) fn job_over(conn: &Connection, rules: Rules, job: JobId) -> Result<()> {
    let HookKinds { job_failed, job_completed, .. } = rules.hooks;
    if !job_failed && !job_completed {
        return Ok(());
    }
    let (state, ended) = conn
        .prepare_cached(JOB)?
        .query_row((job.batch.get(), key(job.seq)), |row| read_job(row, job.batch, job.seq))?;
    match state {
        JobState::Failed if job_failed => insert(conn, job.batch, "job_failed", &HookEvent::JobFailed(ended)),
        JobState::Completed if job_completed => {
            insert(conn, job.batch, "job_completed", &HookEvent::JobCompleted(ended))
        }
        _ => Ok(()),
    }
}

fn read_job(row: &Row<'_>, batch_id: BatchId, seq: u64) -> rusqlite::Result<(JobState, JobEnded)> {
    let job = JobId { batch: batch_id, seq, generation: row.get("generation")? };
    let ended = JobEnded {
        batch_id,
        job_id: job.to_string(),
        seq,
        first: row.get("first")?,
        quantity: row.get("quantity")?,
        items_created: row.get("created")?,
        attempts: row.get("attempts")?,
        error: row.get("error")?,
    };
    Ok((state(row, "state")?, ended))
}

/// Writes down that a batch is over, if the host wants to know.
pub(super) fn batch_over(conn: &Connection, rules: Rules, id: BatchId) -> Result<()> {
    if !rules.hooks.batch_finished {
        return Ok(());
    }
    let event = HookEvent::BatchFinished(BatchFinished::of(&batch(conn, id)?));
    insert(conn, id, "batch_finished", &event)
}

fn insert(conn: &Connection, batch: BatchId, kind: &str, event: &HookEvent) -> Result<()> {
    conn.prepare_cached(INSERT)?.execute((batch.get(), kind, as_json(event)?))?;
    Ok(())
}

pub(super) fn hook(conn: &Connection, hook: HookId) -> Result<Option<Hook>> {
    let mut query = conn.prepare_cached(HOOK)?;
    let found =
        query.query_row([hook.0], |row| Ok(Hook { event: json(row, "event")?, attempts: row.get("attempts")? }));
    Ok(found.optional()?)
}

pub(super) fn record_hook_outcome(conn: &Connection, hook: HookId, attempts: u32, how: &HookOutcome) -> Result<()> {
    match how {
        HookOutcome::Delivered => conn.prepare_cached(DELIVERED)?.execute([hook.0])?,
        HookOutcome::Again { error, not_before } => {
            conn.prepare_cached(AGAIN)?.execute((hook.0, attempts, error, not_before.timestamp_millis()))?
        }
        HookOutcome::GivenUp { error } => {
            conn.prepare_cached(GIVEN_UP)?.execute((hook.0, attempts, error))?;
            conn.prepare_cached(NOT_YET_GONE)?.execute([hook.0])?
        }
    };
    Ok(())
}
