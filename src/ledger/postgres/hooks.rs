//! hook, `record_hook_outcome`, and the rows behind them: events to report to the host.
//!
//! A row is inserted in the transaction of the event. It is deleted when it is delivered, and kept
//! with its error when it is given up.

use deadpool_postgres::{Client, GenericClient};

use super::{
    columns::{small, text},
    error::Result,
    pool::Verb,
};
use crate::{
    domain::{BatchId, BatchRecord, HookEvent, HookId, JobId},
    ledger::{
        columns::{Columns, as_json, key},
        decide::{batch_event, job_event, wants_job_hook},
        operation, rows,
        types::{HookOutcome, Rules},
    },
};

const INSERT: &str = "INSERT INTO hooks (batch, kind, event) VALUES ($1, $2, $3::text::json)";
const JOB: &str = "SELECT state, seq, generation, first, quantity, created, attempts, error FROM jobs
    WHERE batch = $1 AND seq = $2";
const HOOK: &str = "SELECT event::text AS event, attempts, traceparent
    FROM hooks JOIN batches ON batches.id = hooks.batch WHERE hooks.id = $1 AND hooks.state = 'open'";
const DELIVERED: &str = "DELETE FROM hooks WHERE id = $1 AND state = 'open'";
const RETRY_LATER: &str = "UPDATE hooks SET attempts = attempts + 1, error = $3, not_before = $4
    WHERE id = $1 AND attempts = $2 AND state = 'open'";
/// The same lock as in `prune_history`. Either that transaction commits first, and the next
/// statement sees its mark, or it skips the batch and returns to it later.
const LOCK: &str = "SELECT FROM batches WHERE id = (SELECT batch FROM hooks WHERE id = $1) FOR NO KEY UPDATE";
/// A batch may have been pruned while its hook was open. The hook row is now left to remove.
const GIVEN_UP: &str = "WITH hook AS (
        UPDATE hooks SET attempts = attempts + 1, error = $3, not_before = NULL, state = 'given_up'
        WHERE id = $1 AND attempts = $2 AND state = 'open'
        RETURNING batch
    )
    UPDATE batches SET history = 'pruning' FROM hook WHERE batches.id = hook.batch AND history = 'pruned'";

/// Inserts a hook row if the job ended and the host has a hook for that.
pub(super) async fn record_job_end(conn: &impl GenericClient, rules: Rules, job: JobId) -> Result<()> {
    if !rules.hooks.has_job_hook() {
        return Ok(());
    }
    let row = conn.query_one(&conn.prepare_cached(JOB).await?, &[&job.batch.get(), &key(job.seq)]).await?;
    let state = row.state("state")?;
    if !wants_job_hook(rules.hooks, state) {
        return Ok(());
    }
    match job_event(state, rows::finished_job(&row, job.batch)?) {
        Some((kind, event)) => insert(conn, job.batch, kind, &event).await,
        None => Ok(()),
    }
}

/// Inserts a hook row for a finished batch, if the host has a hook for that.
pub(super) async fn record_batch_end(conn: &impl GenericClient, rules: Rules, finished: &BatchRecord) -> Result<()> {
    if !rules.hooks.batch_finished {
        return Ok(());
    }
    let (kind, event) = batch_event(finished);
    insert(conn, finished.batch_id, kind, &event).await
}

async fn insert(conn: &impl GenericClient, batch: BatchId, kind: &str, event: &HookEvent) -> Result<()> {
    let statement = conn.prepare_cached(INSERT).await?;
    conn.execute(&statement, &[&batch.get(), &kind, &as_json(event)?]).await?;
    Ok(())
}

/// See [`Ledger::hook`](crate::ledger::Ledger::hook).
pub(super) struct Hook(pub HookId);

impl Verb for Hook {
    type Output = Option<crate::ledger::types::Hook>;
    const OPERATION: &'static str = operation::HOOK;

    async fn run(&self, conn: &mut Client) -> Result<Self::Output> {
        let row = conn.query_opt(&conn.prepare_cached(HOOK).await?, &[&self.0.0]).await?;
        row.as_ref().map(rows::hook).transpose()
    }
}

/// See [`Ledger::record_hook_outcome`](crate::ledger::Ledger::record_hook_outcome).
pub(super) struct RecordHookOutcome {
    pub hook: HookId,
    /// Failed calls, as read with the hook. A repetition finds one more and changes nothing.
    pub attempts: u32,
    pub outcome: HookOutcome,
}

impl Verb for RecordHookOutcome {
    type Output = ();
    const OPERATION: &'static str = operation::RECORD_HOOK_OUTCOME;

    async fn run(&self, conn: &mut Client) -> Result<()> {
        let (hook, attempts) = (self.hook.0, small(self.attempts));
        match &self.outcome {
            HookOutcome::Delivered => {
                conn.execute(&conn.prepare_cached(DELIVERED).await?, &[&hook]).await?;
            }
            HookOutcome::RetryLater { error, not_before } => {
                let statement = conn.prepare_cached(RETRY_LATER).await?;
                conn.execute(&statement, &[&hook, &attempts, &&*text(error), not_before]).await?;
            }
            HookOutcome::GivenUp { error } => self.give_up(conn, error).await?,
        }
        Ok(())
    }
}

impl RecordHookOutcome {
    async fn give_up(&self, conn: &mut Client, error: &str) -> Result<()> {
        let (hook, attempts) = (self.hook.0, small(self.attempts));
        let transaction = conn.transaction().await?;
        transaction.query(&transaction.prepare_cached(LOCK).await?, &[&hook]).await?;
        let statement = transaction.prepare_cached(GIVEN_UP).await?;
        transaction.execute(&statement, &[&hook, &attempts, &&*text(error)]).await?;
        transaction.commit().await?;
        Ok(())
    }
}
