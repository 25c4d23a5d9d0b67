//! steer: cancels, pauses or resumes a batch.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};

use super::{close::End, error::Answer, pool::Verb, read::batch};
use crate::domain::{BatchId, BatchRecord, BatchStatus, Change};
use crate::ledger::{LedgerError, Rules, Wish};

// Not less: a begin holds the batch by a `KEY SHARE`, which only this one waits for and is waited for by. Whoever takes a batch out of
// `running` has to lock it so first.
const LOCK: &str = "SELECT FROM batches WHERE id = $1 FOR UPDATE";
const HAND_IN: &str = include_str!("sql/hand_in.sql");
const CANCEL_JOBS: &str = include_str!("sql/cancel_jobs.sql");
const PAUSE_JOBS: &str = "UPDATE jobs SET paused = $2 WHERE batch = $1 AND state = 'active' AND paused <> $2";
const SET_STATUS: &str = "UPDATE batches SET status = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::steer`](crate::ledger::Ledger::steer).
pub(super) struct Steer {
    pub rules: Rules,
    pub batch: BatchId,
    pub wish: Wish,
}

#[async_trait]
impl Verb for Steer {
    type Answer = BatchRecord;
    const DOING: &'static str = "steer a batch";
    // The second time its status would forbid it.
    const REPEATABLE: bool = false;

    async fn run(&self, conn: &mut Client) -> Answer<BatchRecord> {
        let transaction = conn.transaction().await?;
        let after = self.steer(&transaction).await?;
        transaction.commit().await?;
        Ok(after)
    }
}

/// Locks a batch, so that none of its jobs is begun or settled.
pub(super) async fn lock(conn: &impl GenericClient, id: BatchId) -> Answer<()> {
    let found = conn.query_opt(&conn.prepare_cached(LOCK).await?, &[&id.get()]).await?;
    found.map(drop).ok_or_else(|| LedgerError::NoSuchBatch(id).into())
}

impl Steer {
    async fn steer(&self, conn: &impl GenericClient) -> Answer<BatchRecord> {
        lock(conn, self.batch).await?;
        let before = batch(conn, self.batch).await?;
        let change = match self.wish {
            Wish::Cancel => Change::Cancel,
            Wish::Pause => Change::Pause,
            Wish::Resume => Change::Resume { begun: before.started_at.is_some() },
        };
        let status = before.status.after(change)?;
        match self.wish {
            Wish::Cancel => self.cancel(conn, status).await?,
            Wish::Pause => self.hold(conn, status, true).await?,
            Wish::Resume => self.hold(conn, status, false).await?,
        }
        batch(conn, self.batch).await
    }

    async fn cancel(&self, conn: &impl GenericClient, cancelled: BatchStatus) -> Answer<()> {
        let id = self.batch.get();
        let row = conn.query_one(&conn.prepare_cached(HAND_IN).await?, &[&id]).await?;
        let (active, fresh): (i64, i64) = (row.try_get("active")?, row.try_get("fresh")?);
        conn.execute(&conn.prepare_cached(CANCEL_JOBS).await?, &[&id]).await?;
        let counts = batch(conn, self.batch).await?.jobs;
        End { status: cancelled, error: None, counts, items_more: fresh, version_more: 1 + active + fresh }
            .put_down(conn, self.rules, self.batch)
            .await
    }

    /// Chunks that are under way end first; those that come later find their job paused.
    async fn hold(&self, conn: &impl GenericClient, status: BatchStatus, paused: bool) -> Answer<()> {
        let id = self.batch.get();
        conn.execute(&conn.prepare_cached(HAND_IN).await?, &[&id]).await?;
        conn.execute(&conn.prepare_cached(PAUSE_JOBS).await?, &[&id, &paused]).await?;
        conn.execute(&conn.prepare_cached(SET_STATUS).await?, &[&id, &status.as_str()]).await?;
        Ok(())
    }
}
