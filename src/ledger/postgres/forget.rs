//! forget: removes the history of batches that have been over for long.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};

use super::{
    columns::{batch_id, key},
    error::Answer,
    pool::Verb,
};
use crate::domain::BatchId;
use crate::ledger::Forgotten;

const NEXT: &str = include_str!("sql/forget_batch.sql");
const JOBS: &str = "DELETE FROM jobs
    WHERE batch = $1 AND seq = ANY (ARRAY(SELECT seq FROM jobs WHERE batch = $1 ORDER BY seq LIMIT $2))";
const HOOKS: &str = "DELETE FROM hooks
    WHERE id = ANY (ARRAY(SELECT id FROM hooks WHERE batch = $1 AND state = 'given_up' LIMIT $2))";
const MARK: &str = "UPDATE batches SET history = $2, version = version + 1 WHERE id = $1";

/// See [`Ledger::forget`](crate::ledger::Ledger::forget).
pub(super) struct Forget {
    pub kept: Duration,
    pub most: u64,
}

#[async_trait]
impl Verb for Forget {
    type Answer = Forgotten;
    const DOING: &'static str = "remove the history of batches";

    async fn run(&self, conn: &mut Client) -> Answer<Forgotten> {
        let transaction = conn.transaction().await?;
        let forgotten = self.forget(&transaction).await?;
        transaction.commit().await?;
        Ok(forgotten)
    }
}

impl Forget {
    async fn forget(&self, conn: &impl GenericClient) -> Answer<Forgotten> {
        let kept = u64::try_from(self.kept.as_millis()).map_or(i64::MAX, key);
        let next = conn.prepare_cached(NEXT).await?;
        let (mut forgotten, mut left) = (Forgotten::default(), self.most);
        for _ in 0..self.most {
            let Some(row) = conn.query_opt(&next, &[&kept]).await? else { return Ok(forgotten) };
            left -= forget_batch(conn, batch_id(&row, "id")?, left, &mut forgotten).await?;
            if left == 0 {
                break;
            }
        }
        Ok(Forgotten { left_out: true, ..forgotten })
    }
}

/// Removes at most `most` rows of one batch; answers how many. What is less than that was all there was.
async fn forget_batch(conn: &impl GenericClient, batch: BatchId, most: u64, forgotten: &mut Forgotten) -> Answer<u64> {
    let id = batch.get();
    let jobs = conn.execute(&conn.prepare_cached(JOBS).await?, &[&id, &key(most)]).await?;
    let hooks = conn.execute(&conn.prepare_cached(HOOKS).await?, &[&id, &key(most - jobs)]).await?;
    let gone = jobs + hooks < most;
    conn.execute(&conn.prepare_cached(MARK).await?, &[&id, &if gone { "gone" } else { "leaving" }]).await?;
    forgotten.batches += u64::from(gone);
    forgotten.jobs += jobs;
    forgotten.hooks += hooks;
    Ok(jobs + hooks)
}
