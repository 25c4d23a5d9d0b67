//! steer: cancels, pauses or resumes a batch.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};

use super::{
    close::End,
    error::Result,
    pool::{Lane, Verb},
    read::batch,
    summarize::count_anew,
};
use crate::domain::{BatchId, BatchRecord, BatchStatus, Change};
use crate::ledger::{BatchCommand, LedgerError, Rules};

// A statement of its own, so that the next one sees what was committed while this one waited.
// Claims share this lock (sql/begin.sql says why). The key is a hash of the schema and the batch.
// The leader's lock is another text with the seed 0, which no batch has.
const GATE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))";
// Not less: a begin holds the batch `FOR SHARE`, so whoever takes it out of `running` has to lock
// it so first. Not more: a foreign key to the batch locks it `FOR KEY SHARE`, in a transaction that
// has locked a job before, and would wait for whoever waits for that job.
const LOCK: &str = "SELECT FROM batches WHERE id = $1 FOR NO KEY UPDATE";
// By number, as everybody does who locks several. Waits for the chunks that are under way; those
// that come later find the jobs locked.
const LOCK_ACTIVE: &str = "SELECT FROM jobs
    WHERE batch = $1 AND finished_at IS NULL AND not_before IS NULL AND state = 'active' ORDER BY seq FOR NO KEY UPDATE";
const CANCEL_JOBS: &str = include_str!("sql/cancel_jobs.sql");
const PAUSE_JOBS: &str = "UPDATE jobs SET paused = $2
    WHERE batch = $1 AND finished_at IS NULL AND not_before IS NULL AND state = 'active' AND paused <> $2";
const SET_STATUS: &str = "UPDATE batches SET status = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::control`](crate::ledger::Ledger::control).
pub(super) struct Control {
    pub rules: Rules,
    pub batch: BatchId,
    pub wish: BatchCommand,
}

#[async_trait]
impl Verb for Control {
    type Output = BatchRecord;
    const OPERATION: &'static str = "steer a batch";
    const LANE: Lane = Lane::Requests;
    // The second time its status would forbid it.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Result<BatchRecord> {
        let transaction = conn.transaction().await?;
        let after = self.control(&transaction).await?;
        transaction.commit().await?;
        Ok(after)
    }
}

/// Locks a batch, so that none of its jobs is begun: first the gate, and then the row.
pub(super) async fn lock(conn: &impl GenericClient, id: BatchId) -> Result<()> {
    conn.query_one(&conn.prepare_cached(GATE).await?, &[&id.get()]).await?;
    let found = conn.query_opt(&conn.prepare_cached(LOCK).await?, &[&id.get()]).await?;
    found.map(drop).ok_or_else(|| LedgerError::NoSuchBatch(id).into())
}

impl Control {
    async fn control(&self, conn: &impl GenericClient) -> Result<BatchRecord> {
        lock(conn, self.batch).await?;
        let before = batch(conn, self.batch).await?;
        let change = match self.wish {
            BatchCommand::Cancel => Change::Cancel,
            BatchCommand::Pause => Change::Pause,
            BatchCommand::Resume => Change::Resume { claimed: before.started_at.is_some() },
        };
        let status = before.status.after(change)?;
        match self.wish {
            BatchCommand::Cancel => self.cancel(conn, status).await?,
            BatchCommand::Pause => self.claim(conn, status, true).await?,
            BatchCommand::Resume => self.claim(conn, status, false).await?,
        }
        batch(conn, self.batch).await
    }

    async fn cancel(&self, conn: &impl GenericClient, cancelled: BatchStatus) -> Result<()> {
        let id = self.batch.get();
        conn.execute(&conn.prepare_cached(LOCK_ACTIVE).await?, &[&id]).await?;
        conn.execute(&conn.prepare_cached(CANCEL_JOBS).await?, &[&id]).await?;
        let record = batch(conn, self.batch).await?;
        End::of(&record, cancelled).record(conn, self.rules, self.batch).await
    }

    /// Chunks that are under way end first; those that come later find their job paused.
    async fn claim(&self, conn: &impl GenericClient, status: BatchStatus, paused: bool) -> Result<()> {
        let id = self.batch.get();
        conn.execute(&conn.prepare_cached(LOCK_ACTIVE).await?, &[&id]).await?;
        conn.execute(&conn.prepare_cached(PAUSE_JOBS).await?, &[&id, &paused]).await?;
        conn.execute(&conn.prepare_cached(SET_STATUS).await?, &[&id, &status.as_str()]).await?;
        count_anew(conn, self.batch).await
    }
}
