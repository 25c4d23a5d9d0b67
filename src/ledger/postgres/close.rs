//! `batches_to_close`, close: the end of a batch whose jobs are all finished.

use std::time::Duration;

use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::types::ToSql;

use super::{columns::small, error::Result, finish_hook::Finisher, hooks, pool::Verb, read::batch};
use crate::{
    domain::{BatchFinished, BatchId, BatchRecord, JobCounts, StatusTask},
    ledger::{
        columns::{Columns, key, millis},
        decide::BatchEnd,
        operation, rows,
        types::Closed,
    },
};

const BATCHES_TO_CLOSE: &str = include_str!("sql/batches_to_close.sql");
// As `lock` in control.rs, but without the gate: without open jobs, no claims can overtake it.
const LOCK: &str = "SELECT status FROM batches WHERE id = $1 AND round = $2 AND jobs > 0
      AND (close_not_before IS NULL OR close_not_before <= now()
          OR close_not_before > now() + $3::bigint * interval '1 ms')
    FOR NO KEY UPDATE";
const FIRST_ERROR: &str = "SELECT error FROM jobs
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");

/// See [`Ledger::batches_to_close`](crate::ledger::Ledger::batches_to_close).
pub(super) struct BatchesToClose {
    pub batches: Vec<BatchId>,
    pub max_delay: Duration,
}

impl Verb for BatchesToClose {
    type Output = Vec<StatusTask>;
    const OPERATION: &'static str = operation::BATCHES_TO_CLOSE;

    async fn run(&self, conn: &mut Client) -> Result<Vec<StatusTask>> {
        batches_to_close(conn, self.max_delay, &self.batches).await
    }
}

pub(super) async fn batches_to_close(
    conn: &impl GenericClient,
    max_delay: Duration,
    batches: &[BatchId],
) -> Result<Vec<StatusTask>> {
    let batches: Vec<i64> = batches.iter().map(|batch| batch.get()).collect();
    let rows = conn.query(&conn.prepare_cached(BATCHES_TO_CLOSE).await?, &[&batches, &millis(max_delay)]).await?;
    rows.iter().map(rows::close_task).collect()
}

/// See [`Ledger::close`](crate::ledger::Ledger::close).
pub(super) struct Close {
    pub finisher: Finisher,
    pub batch: BatchId,
    pub round: u32,
}

impl Verb for Close {
    type Output = Closed;
    const OPERATION: &'static str = operation::CLOSE;

    fn host_time(&self) -> Option<Duration> {
        self.finisher.host_time()
    }

    async fn run(&self, conn: &mut Client) -> Result<Closed> {
        let transaction = conn.transaction().await?;
        let closed = self.close(&transaction).await;
        self.finisher.end(transaction, closed).await
    }
}

impl Close {
    async fn close(&self, conn: &Transaction<'_>) -> Result<Closed> {
        let (id, round, max_delay) = (self.batch, small(self.round), millis(self.finisher.max_delay()));
        let lock: [&(dyn ToSql + Sync); 3] = [&id.get(), &round, &max_delay];
        let statement = conn.prepare_cached(LOCK).await?;
        // A second statement: the snapshot of the first does not show jobs that a retry reopened
        // while it waited for the lock. Both are sent at once, and executed in this order.
        let (locked, record) = tokio::join!(conn.query_opt(&statement, &lock), batch(conn, id));
        let Some(row) = locked? else { return Ok(Closed::NothingToDo) };
        let Some(mut end) = BatchEnd::of_closing(row.status("status")?, &record?) else {
            return Ok(Closed::NothingToDo);
        };
        if end.has_failed_jobs() {
            end = end.with_first_error(&first_error(conn, id).await?);
        }
        Ok(Closed::Now(Box::new(record_end(conn, &self.finisher, id, end).await?)))
    }
}

async fn first_error(conn: &impl GenericClient, id: BatchId) -> Result<String> {
    let row = conn.query_one(&conn.prepare_cached(FIRST_ERROR).await?, &[&id.get()]).await?;
    row.string("error")
}

/// Finishes the batch, inserts its hook row, and calls the host's finish hook. Returns the finished
/// batch.
pub(super) async fn record_end(
    conn: &Transaction<'_>,
    finisher: &Finisher,
    id: BatchId,
    end: BatchEnd,
) -> Result<BatchRecord> {
    let JobCounts { completed, failed, cancelled, .. } = end.counts;
    let [completed, failed, cancelled, items] = [completed, failed, cancelled, end.measured.items].map(key);
    let (batch_id, status, worked) = (id.get(), end.status.as_str(), millis(end.measured.worked));
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&batch_id, &status, &end.error, &completed, &failed, &cancelled, &items, &worked];
    let finished = rows::batch(&conn.query_one(&conn.prepare_cached(CLOSE).await?, &parameters).await?)?;
    hooks::record_batch_end(conn, finisher.rules, &finished).await?;
    // Last, so that the ledger's rows are complete whatever the hook does.
    finisher.call_hook(conn, &BatchFinished::of(&finished)).await?;
    Ok(finished)
}
