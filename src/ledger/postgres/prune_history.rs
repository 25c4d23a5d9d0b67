//! `prune_history`: removes the job rows of batches that finished long ago.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};

use super::{error::Result, pool::Verb};
use crate::ledger::{
    columns::{key, millis},
    decide::Sweep,
    operation,
    types::Pruned,
};

const NEXT: &str = include_str!("sql/prune_batch.sql");
const JOBS: &str = "DELETE FROM jobs
    WHERE batch = $1 AND seq = ANY (ARRAY(SELECT seq FROM jobs WHERE batch = $1 ORDER BY seq LIMIT $2))";
const HOOKS: &str = "DELETE FROM hooks
    WHERE id = ANY (ARRAY(SELECT id FROM hooks WHERE batch = $1 AND state = 'given_up' LIMIT $2))";
const MARK: &str = "UPDATE batches SET history = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::prune_history`](crate::ledger::Ledger::prune_history).
pub(super) struct PruneHistory {
    pub age: Duration,
    pub max: u64,
}

impl Verb for PruneHistory {
    type Output = Pruned;
    const OPERATION: &'static str = operation::PRUNE_HISTORY;

    async fn run(&self, conn: &mut Client) -> Result<Pruned> {
        let transaction = conn.transaction().await?;
        let pruned = self.prune(&transaction).await?;
        transaction.commit().await?;
        Ok(pruned)
    }
}

impl PruneHistory {
    async fn prune(&self, conn: &impl GenericClient) -> Result<Pruned> {
        let next = conn.prepare_cached(NEXT).await?;
        let mut sweep = Sweep::of(self.max);
        while sweep.has_capacity() {
            let Some(row) = conn.query_opt(&next, &[&millis(self.age)]).await? else { return Ok(sweep.complete()) };
            let (batch, max): (i64, _) = (row.try_get("id")?, sweep.rows_left());
            let jobs = conn.execute(&conn.prepare_cached(JOBS).await?, &[&batch, &key(max)]).await?;
            let hooks = conn.execute(&conn.prepare_cached(HOOKS).await?, &[&batch, &key(max - jobs)]).await?;
            let history = sweep.add(jobs, hooks);
            conn.execute(&conn.prepare_cached(MARK).await?, &[&batch, &history]).await?;
        }
        Ok(sweep.interrupted())
    }
}
