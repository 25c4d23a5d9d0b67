//! control: cancels, pauses or resumes a batch.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient, Transaction};

use super::{
    audit,
    close::record_end,
    error::Result,
    finish_hook::Finisher,
    pool::{Lane, Verb},
    read::batch,
    summarize::count_batch,
};
use crate::{
    domain::{BatchId, BatchRecord, BatchStatus, Caller},
    ledger::{
        decide::{BatchEnd, NewAuditEntry, requested_change},
        error::LedgerError,
        operation,
        types::BatchCommand,
    },
};

// A separate statement, so that the next one sees what was committed while this one waited. Claims
// share this lock, see sql/claim.sql. The key is a hash of the schema and the batch. The leader's
// lock hashes another text with the seed 0, which is no batch id.
const GATE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))";
// Not weaker: a claim locks the batch `FOR SHARE`, and this must wait for it. Not stronger: a
// foreign key to the batch locks it `FOR KEY SHARE`, in a transaction that has locked a job. A
// stronger lock would wait for that transaction while it waits for the job, a deadlock.
const LOCK: &str = "SELECT FROM batches WHERE id = $1 FOR NO KEY UPDATE";
// By number, as every statement that locks several jobs. Waits for chunks in progress; later chunks
// wait for this lock.
const LOCK_ACTIVE: &str = "SELECT FROM jobs
    WHERE batch = $1 AND finished_at IS NULL AND not_before IS NULL AND state = 'active'
    ORDER BY seq FOR NO KEY UPDATE";
const CANCEL_JOBS: &str = include_str!("sql/cancel_jobs.sql");
const PAUSE_JOBS: &str = "UPDATE jobs SET paused = $2
    WHERE batch = $1 AND finished_at IS NULL AND not_before IS NULL AND state = 'active' AND paused <> $2";
const SET_STATUS: &str = "UPDATE batches SET status = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::control`](crate::ledger::Ledger::control).
pub(super) struct Control {
    pub finisher: Finisher,
    pub batch: BatchId,
    pub command: BatchCommand,
    pub caller: Caller,
}

impl Verb for Control {
    type Output = BatchRecord;
    const OPERATION: &'static str = operation::CONTROL;
    const LANE: Lane = Lane::Requests;
    // A repetition would find a status that does not allow the command.
    const REPEATABLE: bool = false;

    fn host_time(&self) -> Option<Duration> {
        if self.command == BatchCommand::Cancel { self.finisher.host_time() } else { None }
    }

    async fn run(&self, conn: &mut Client) -> Result<BatchRecord> {
        let transaction = conn.transaction().await?;
        let after = self.control(&transaction).await;
        self.finisher.end(transaction, after).await
    }
}

/// Locks a batch, so that none of its jobs can be claimed: first the gate, then the row.
pub(super) async fn lock(conn: &impl GenericClient, id: BatchId) -> Result<()> {
    conn.query_one(&conn.prepare_cached(GATE).await?, &[&id.get()]).await?;
    let row = conn.query_opt(&conn.prepare_cached(LOCK).await?, &[&id.get()]).await?;
    row.map(drop).ok_or_else(|| LedgerError::NoSuchBatch(id).into())
}

impl Control {
    async fn control(&self, conn: &Transaction<'_>) -> Result<BatchRecord> {
        lock(conn, self.batch).await?;
        let before = batch(conn, self.batch).await?;
        let change = requested_change(self.command, before.started_at.is_some());
        let status = before.status.after(change)?;
        let after = match self.command {
            BatchCommand::Cancel => self.cancel(conn, status).await?,
            BatchCommand::Pause => self.set_paused(conn, status, true).await?,
            BatchCommand::Resume => self.set_paused(conn, status, false).await?,
        };
        let (caller, items) = (&self.caller, after.items_created);
        let entry = NewAuditEntry::of_command(self.batch, self.command, caller, before.status, items);
        audit::record(conn, &entry).await?;
        Ok(after)
    }

    async fn cancel(&self, conn: &Transaction<'_>, cancelled: BatchStatus) -> Result<BatchRecord> {
        let id = self.batch.get();
        conn.execute(&conn.prepare_cached(LOCK_ACTIVE).await?, &[&id]).await?;
        conn.execute(&conn.prepare_cached(CANCEL_JOBS).await?, &[&id]).await?;
        let record = batch(conn, self.batch).await?;
        record_end(conn, &self.finisher, self.batch, BatchEnd::of(&record, cancelled)).await
    }

    /// Waits for chunks in progress; later chunks find their job paused.
    async fn set_paused(&self, conn: &impl GenericClient, status: BatchStatus, paused: bool) -> Result<BatchRecord> {
        let id = self.batch.get();
        conn.execute(&conn.prepare_cached(LOCK_ACTIVE).await?, &[&id]).await?;
        conn.execute(&conn.prepare_cached(PAUSE_JOBS).await?, &[&id, &paused]).await?;
        conn.execute(&conn.prepare_cached(SET_STATUS).await?, &[&id, &status.as_str()]).await?;
        count_batch(conn, self.batch).await?;
        batch(conn, self.batch).await
    }
}
