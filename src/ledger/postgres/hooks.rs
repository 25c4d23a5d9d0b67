//! hook, `settle_hook`, and the rows that they are about: what the host must be told.
//!
//! A row is written in the transaction of the end that it tells of. It goes when it is delivered,
//! and stays, with its error, when it is given up.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    columns::{as_json, json, key, number, small, small_number, state, text},
    error::Result,
    pool::Verb,
    read::batch,
};
use crate::domain::{BatchFinished, BatchId, HookEvent, HookId, JobEnded, JobId, JobState};
use crate::ledger::{HookOutcome, Rules};

const INSERT: &str = "INSERT INTO hooks (batch, kind, event) VALUES ($1, $2, $3::text::json)";
const JOB: &str = "SELECT state, generation, first, quantity, created, attempts, error FROM jobs
    WHERE batch = $1 AND seq = $2";
const HOOK: &str = "SELECT event::text AS event, attempts FROM hooks WHERE id = $1 AND state = 'open'";
const DELIVERED: &str = "DELETE FROM hooks WHERE id = $1 AND state = 'open'";
const AGAIN: &str = "UPDATE hooks SET attempts = attempts + 1, error = $3, not_before = $4
    WHERE id = $1 AND attempts = $2 AND state = 'open'";
/// As `forget` locks it: either that transaction comes first, and the next statement sees that the
/// history is gone, or it passes the batch over and comes back.
const LOCK: &str = "SELECT FROM batches WHERE id = (SELECT batch FROM hooks WHERE id = $1) FOR NO KEY UPDATE";
/// The batch may have been forgotten while the hook was still open: then it has something left to
/// remove.
const GIVEN_UP: &str = "WITH hook AS (
        UPDATE hooks SET attempts = attempts + 1, error = $3, not_before = NULL, state = 'given_up'
        WHERE id = $1 AND attempts = $2 AND state = 'open'
        RETURNING batch
    )
    UPDATE batches SET history = 'pruning' FROM hook WHERE batches.id = hook.batch AND history = 'pruned'";

/// Whether the host wants to know of a job that ends so.
pub(super) const fn wants_job(rules: Rules, state: JobState) -> bool {
    match state {
        JobState::Failed => rules.hooks.job_failed,
        JobState::Completed => rules.hooks.job_completed,
        JobState::Waiting | JobState::Active | JobState::Delayed | JobState::Cancelled => false,
    }
}

/// Writes down that a job ended, if it did and the host wants to know.
pub(super) async fn job_over(conn: &impl GenericClient, rules: Rules, job: JobId) -> Result<()> {
    let row = conn.query_one(&conn.prepare_cached(JOB).await?, &[&job.batch.get(), &key(job.seq)]).await?;
    let state = state(&row, "state")?;
    if !wants_job(rules, state) {
        return Ok(());
    }
    let ended = read_job(&row, job.batch, job.seq)?;
    match state {
        JobState::Failed => insert(conn, job.batch, "job_failed", &HookEvent::JobFailed(ended)).await,
        _ => insert(conn, job.batch, "job_completed", &HookEvent::JobCompleted(ended)).await,
    }
}

fn read_job(row: &Row, batch_id: BatchId, seq: u64) -> Result<JobEnded> {
    let job = JobId { batch: batch_id, seq, generation: small_number(row, "generation")? };
    Ok(JobEnded {
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

/// Writes down that a batch is over, if the host wants to know.
pub(super) async fn batch_over(conn: &impl GenericClient, rules: Rules, id: BatchId) -> Result<()> {
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
    type Output = Option<crate::ledger::Hook>;
    const OPERATION: &'static str = "read a hook";

    async fn run(&self, conn: &mut Client) -> Result<Self::Output> {
        let found = conn.query_opt(&conn.prepare_cached(HOOK).await?, &[&self.0.0]).await?;
        let Some(row) = found else { return Ok(None) };
        Ok(Some(crate::ledger::Hook { event: json(&row, "event")?, attempts: small_number(&row, "attempts")? }))
    }
}

/// See [`Ledger::record_hook_outcome`](crate::ledger::Ledger::record_hook_outcome).
pub(super) struct SettleHook {
    pub hook: HookId,
    /// Failed tries as read with the hook: a repetition finds one more, and changes nothing.
    pub attempts: u32,
    pub how: HookOutcome,
}

#[async_trait]
impl Verb for SettleHook {
    type Output = ();
    const OPERATION: &'static str = "settle a hook";

    async fn run(&self, conn: &mut Client) -> Result<()> {
        let (hook, attempts) = (self.hook.0, small(self.attempts));
        match &self.how {
            HookOutcome::Delivered => {
                conn.execute(&conn.prepare_cached(DELIVERED).await?, &[&hook]).await?;
            }
            HookOutcome::Again { error, not_before } => {
                let statement = conn.prepare_cached(AGAIN).await?;
                conn.execute(&statement, &[&hook, &attempts, &&*text(error), not_before]).await?;
            }
            HookOutcome::GivenUp { error } => self.give_up(conn, error).await?,
        }
        Ok(())
    }
}

impl SettleHook {
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
