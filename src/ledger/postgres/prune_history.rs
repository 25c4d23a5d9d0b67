//! forget: removes the history of batches that have been over for long.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};

use super::{
    columns::{batch_id, key},
    error::Result,
    pool::Verb,
};
use crate::domain::BatchId;
use crate::ledger::Pruned;

const NEXT: &str = include_str!("sql/prune_batch.sql");
const JOBS: &str = "DELETE FROM jobs
    WHERE batch = $1 AND seq = ANY (ARRAY(SELECT seq FROM jobs WHERE batch = $1 ORDER BY seq LIMIT $2))";
const HOOKS: &str = "DELETE FROM hooks
    WHERE id = ANY (ARRAY(SELECT id FROM hooks WHERE batch = $1 AND state = 'given_up' LIMIT $2))";
const MARK: &str = "UPDATE batches SET history = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::prune_history`](crate::ledger::Ledger::prune_history).
pub(super) struct PruneHistory {
    pub kept: Duration,
    pub max: u64,
}

#[async_trait]
impl Verb for PruneHistory {
    type Output = Pruned;
    const OPERATION: &'static str = "remove the history of batches";

    async fn run(&self, conn: &mut Client) -> Result<Pruned> {
        let transaction = conn.transaction().await?;
        let pruned = self.forget(&transaction).await?;
        transaction.commit().await?;
        Ok(pruned)
    }
}

impl PruneHistory {
    async fn forget(&self, conn: &impl GenericClient) -> Result<Pruned> {
        let kept = u64::try_from(self.kept.as_millis()).map_or(i64::MAX, key);
        let next = conn.prepare_cached(NEXT).await?;
        let (mut pruned, mut left) = (Pruned::default(), self.max);
        for _ in 0..self.max {
            let Some(row) = conn.query_opt(&next, &[&kept]).await? else { return Ok(pruned) };
            left -= prune_batch(conn, batch_id(&row, "id")?, left, &mut pruned).await?;
            if left == 0 {
                break;
            }
        }
        Ok(Pruned { left_out: true, ..pruned })
    }
}

/// Removes at most `max` rows of one batch; answers how many. What is less than that was all there
/// was.
async fn prune_batch(conn: &impl GenericClient, batch: BatchId, max: u64, pruned: &mut Pruned) -> Result<u64> {
    let id = batch.get();
    let jobs = conn.execute(&conn.prepare_cached(JOBS).await?, &[&id, &key(max)]).await?;
    let hooks = conn.execute(&conn.prepare_cached(HOOKS).await?, &[&id, &key(max - jobs)]).await?;
    let gone = jobs + hooks < max;
    conn.execute(&conn.prepare_cached(MARK).await?, &[&id, &if gone { "pruned" } else { "pruning" }]).await?;
    pruned.batches += u64::from(gone);
    pruned.jobs += jobs;
    pruned.hooks += hooks;
    Ok(jobs + hooks)
}
