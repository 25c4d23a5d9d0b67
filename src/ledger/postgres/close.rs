//! `at_end`, close: the end of a batch whose jobs are all finished.

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{columns::small, error::Result, hooks, pool::Verb, read::batch};
use crate::{
    domain::{BatchId, JobCounts, StatusTask},
    ledger::{
        columns::{Columns, key, millis},
        decide::BatchEnd,
        operation, rows,
        types::{Closed, Rules},
    },
};

const AT_END: &str = include_str!("sql/at_end.sql");
// As `lock` in control.rs, but without the gate: without open jobs, no claims can overtake it.
const LOCK: &str = "SELECT status FROM batches WHERE id = $1 AND round = $2 AND jobs > 0 FOR NO KEY UPDATE";
const FIRST_ERROR: &str = "SELECT error FROM jobs
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");

/// See [`Ledger::at_end`](crate::ledger::Ledger::at_end).
pub(super) struct AtEnd(pub Vec<BatchId>);

impl Verb for AtEnd {
    type Output = Vec<StatusTask>;
    const OPERATION: &'static str = operation::AT_END;

    async fn run(&self, conn: &mut Client) -> Result<Vec<StatusTask>> {
        at_end(conn, &self.0).await
    }
}

pub(super) async fn at_end(conn: &impl GenericClient, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
    let batches: Vec<i64> = batches.iter().map(|batch| batch.get()).collect();
    let rows = conn.query(&conn.prepare_cached(AT_END).await?, &[&batches]).await?;
    rows.iter().map(rows::close_task).collect()
}

/// See [`Ledger::close`](crate::ledger::Ledger::close).
pub(super) struct Close {
    pub rules: Rules,
    pub batch: BatchId,
    pub round: u32,
}

impl Verb for Close {
    type Output = Closed;
    const OPERATION: &'static str = operation::CLOSE;

    async fn run(&self, conn: &mut Client) -> Result<Closed> {
        let transaction = conn.transaction().await?;
        let closed = self.close(&transaction).await?;
        transaction.commit().await?;
        Ok(closed)
    }
}

impl Close {
    async fn close(&self, conn: &impl GenericClient) -> Result<Closed> {
        let (id, lock) = (self.batch, conn.prepare_cached(LOCK).await?);
        let locked = conn.query_opt(&lock, &[&id.get(), &small(self.round)]).await?;
        let Some(row) = locked else { return Ok(Closed::NothingToDo) };
        // A second statement: the snapshot of the first does not show jobs that a retry reopened
        // while it waited for the lock.
        let record = batch(conn, id).await?;
        let Some(mut end) = BatchEnd::of_closing(row.status("status")?, &record) else {
            return Ok(Closed::NothingToDo);
        };
        if end.has_failed_jobs() {
            end = end.with_first_error(&first_error(conn, id).await?);
        }
        record_end(conn, self.rules, id, end).await?;
        Ok(Closed::Now(batch(conn, id).await?))
    }
}

async fn first_error(conn: &impl GenericClient, id: BatchId) -> Result<String> {
    let row = conn.query_one(&conn.prepare_cached(FIRST_ERROR).await?, &[&id.get()]).await?;
    row.string("error")
}

/// Finishes the batch, and inserts its hook row.
pub(super) async fn record_end(conn: &impl GenericClient, rules: Rules, id: BatchId, end: BatchEnd) -> Result<()> {
    let JobCounts { completed, failed, cancelled, .. } = end.counts;
    let [completed, failed, cancelled, items] = [completed, failed, cancelled, end.measured.items].map(key);
    let (batch, status, worked) = (id.get(), end.status.as_str(), millis(end.measured.worked));
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&batch, &status, &end.error, &completed, &failed, &cancelled, &items, &worked];
    conn.execute(&conn.prepare_cached(CLOSE).await?, &parameters).await?;
    hooks::record_batch_end(conn, rules, id).await
}
