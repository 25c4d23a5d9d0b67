//! hook, `record_hook_outcome`, and the rows behind them: events to report to the host.
//!
//! A row is inserted in the transaction of the event. It is deleted when it is delivered, and kept
//! with its error when it is given up.

use rusqlite::{Connection, OptionalExtension};

use super::error::Result;
use crate::{
    domain::{BatchId, BatchRecord, HookEvent, HookId, JobId},
    ledger::{
        columns::{Columns, as_json, key},
        decide::{batch_event, job_event, wants_job_hook},
        rows,
        types::{Hook, HookOutcome, Rules},
    },
};

const INSERT: &str = "INSERT INTO rocket_batch_hooks (batch, kind, event) VALUES (?1, ?2, ?3)";
const JOB: &str = "SELECT state, seq, generation, first, quantity, created, attempts, error FROM rocket_batch_jobs
    WHERE batch = ?1 AND seq = ?2";
const HOOK: &str = "SELECT event, attempts, traceparent
    FROM rocket_batch_hooks h JOIN rocket_batch_batches b ON b.id = h.batch WHERE h.id = ?1 AND h.state = 'open'";
const DELIVERED: &str = "DELETE FROM rocket_batch_hooks WHERE id = ?1 AND state = 'open'";
const RETRY_LATER: &str = "UPDATE rocket_batch_hooks SET attempts = attempts + 1, error = ?3, not_before = ?4
    WHERE id = ?1 AND attempts = ?2 AND state = 'open'";
const GIVEN_UP: &str =
    "UPDATE rocket_batch_hooks SET attempts = attempts + 1, error = ?3, not_before = NULL, state = 'given_up'
    WHERE id = ?1 AND attempts = ?2 AND state = 'open'";
/// A batch may have been pruned while its hook was open. The hook row is now left to remove.
const REOPEN_HISTORY: &str = "UPDATE rocket_batch_batches SET history = 'pruning'
    WHERE id = (SELECT batch FROM rocket_batch_hooks WHERE id = ?1) AND history = 'pruned'";

/// Inserts a hook row if the job ended and the host has a hook for that.
pub(super) fn record_job_end(conn: &Connection, rules: Rules, job: JobId) -> Result<()> {
    if !rules.hooks.has_job_hook() {
        return Ok(());
    }
    let (state, finished) = conn.prepare_cached(JOB)?.query_row((job.batch.get(), key(job.seq)), |row| {
        Ok((row.state("state")?, rows::finished_job(row, job.batch)?))
    })?;
    match job_event(state, finished) {
        Some((kind, event)) if wants_job_hook(rules.hooks, state) => insert(conn, job.batch, kind, &event),
        _ => Ok(()),
    }
}

/// Inserts a hook row for a finished batch, if the host has a hook for that.
pub(super) fn record_batch_end(conn: &Connection, rules: Rules, finished: &BatchRecord) -> Result<()> {
    if !rules.hooks.batch_finished {
        return Ok(());
    }
    let (kind, event) = batch_event(finished);
    insert(conn, finished.batch_id, kind, &event)
}

fn insert(conn: &Connection, batch: BatchId, kind: &str, event: &HookEvent) -> Result<()> {
    conn.prepare_cached(INSERT)?.execute((batch.get(), kind, as_json(event)?))?;
    Ok(())
}

pub(super) fn hook(conn: &Connection, hook: HookId) -> Result<Option<Hook>> {
    let mut query = conn.prepare_cached(HOOK)?;
    Ok(query.query_row([hook.0], |row| rows::hook(row)).optional()?)
}

pub(super) fn record_hook_outcome(conn: &Connection, hook: HookId, attempts: u32, outcome: &HookOutcome) -> Result<()> {
    match outcome {
        HookOutcome::Delivered => conn.prepare_cached(DELIVERED)?.execute([hook.0])?,
        HookOutcome::RetryLater { error, not_before } => {
            conn.prepare_cached(RETRY_LATER)?.execute((hook.0, attempts, error, not_before.timestamp_millis()))?
        }
        HookOutcome::GivenUp { error } => {
            conn.prepare_cached(GIVEN_UP)?.execute((hook.0, attempts, error))?;
            conn.prepare_cached(REOPEN_HISTORY)?.execute([hook.0])?
        }
    };
    Ok(())
}
