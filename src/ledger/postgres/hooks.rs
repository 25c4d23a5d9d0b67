//! hook, `record_hook_outcome`, and the rows behind them: events to report to the host.
//!
//! A row is inserted in the transaction of the event. It is deleted when it is delivered, and kept
//! with its error when it is given up.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    columns::{as_json, json, key, number, small, small_number, state, text},
    error::Result,
    pool::Verb,
    read::batch,
};
use crate::{
    domain::{BatchFinished, BatchId, HookEvent, HookId, JobFinished, JobId},
    ledger::{
        decide::{job_event, wants_job_hook},
        types::{HookOutcome, Rules},
    },
};

const INSERT: &str = "INSERT INTO hooks (batch, kind, event) VALUES ($1, $2, $3::text::json)";
const JOB: &str = "SELECT state, generation, first, quantity, created, attempts, error FROM jobs
    WHERE batch = $1 AND seq = $2";
const HOOK: &str = "SELECT event::text AS event, attempts FROM hooks WHERE id = $1 AND state = 'open'";
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
    let row = conn.query_one(&conn.prepare_cached(JOB).await?, &[&job.batch.get(), &key(job.seq)]).await?;
    let state = state(&row, "state")?;
    if !wants_job_hook(rules.hooks, state) {
        return Ok(());
    }
    match job_event(state, read_job(&row, job.batch, job.seq)?) {
        Some((kind, event)) => insert(conn, job.batch, kind, &event).await,
        None => Ok(()),
    }
}

fn read_job(row: &Row, batch_id: BatchId, seq: u64) -> Result<JobFinished> {
    let job = JobId { batch: batch_id, seq, generation: small_number(row, "generation")? };
    Ok(JobFinished {
        batch_id,
        job_id: job.to_string(),
        seq,
        first: number(row, "first")?,
        quantity: number(row, "quantity")?,
        items_created: number(row, "created")?,
        attempts: small_number(row, "attempts")?,
        error: row.try_get("error")?,
    })
}

/// Inserts a hook row for a finished batch, if the host has a hook for that.
pub(super) async fn record_batch_end(conn: &impl GenericClient, rules: Rules, id: BatchId) -> Result<()> {
    if !rules.hooks.batch_finished {
        return Ok(());
    }
    let event = HookEvent::BatchFinished(BatchFinished::of(&batch(conn, id).await?));
    insert(conn, id, "batch_finished", &event).await
}

async fn insert(conn: &impl GenericClient, batch: BatchId, kind: &str, event: &HookEvent) -> Result<()> {
    let statement = conn.prepare_cached(INSERT).await?;
    conn.execute(&statement, &[&batch.get(), &kind, &as_json(event)?]).await?;
    Ok(())
}

/// See [`Ledger::hook`](crate::ledger::Ledger::hook).
pub(super) struct Hook(pub HookId);

#[async_trait]
impl Verb for Hook {
    type Output = Option<crate::ledger::types::Hook>;
    const OPERATION: &'static str = "read a hook";

    async fn run(&self, conn: &mut Client) -> Result<Self::Output> {
        let row = conn.query_opt(&conn.prepare_cached(HOOK).await?, &[&self.0.0]).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(crate::ledger::types::Hook { event: json(&row, "event")?, attempts: small_number(&row, "attempts")? }))
    }
}

/// See [`Ledger::record_hook_outcome`](crate::ledger::Ledger::record_hook_outcome).
pub(super) struct RecordHookOutcome {
    pub hook: HookId,
    /// Failed calls, as read with the hook. A repetition finds one more and changes nothing.
    pub attempts: u32,
    pub outcome: HookOutcome,
}

#[async_trait]
impl Verb for RecordHookOutcome {
    type Output = ();
    const OPERATION: &'static str = "record the outcome of a hook";

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
