//! `at_end`, close: the end of a batch whose jobs are all finished.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{batch_id, key, millis, small, small_number, status},
    error::Result,
    hooks,
    pool::Verb,
    read::batch,
};
use crate::{
    domain::{BatchId, BatchRecord, BatchStatus, JobCounts, Measured, StatusTask},
    ledger::{
        decide::{closed_status, closing_error},
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
pub(super) struct AtEnd(pub Vec<i64>);

#[async_trait]
impl Verb for AtEnd {
    type Output = Vec<StatusTask>;
    const OPERATION: &'static str = "find batches to close";

    async fn run(&self, conn: &mut Client) -> Result<Vec<StatusTask>> {
        at_end(conn, &self.0).await
    }
}

pub(super) async fn at_end(conn: &impl GenericClient, batches: &[i64]) -> Result<Vec<StatusTask>> {
    let rows = conn.query(&conn.prepare_cached(AT_END).await?, &[&batches]).await?;
    let end = |row| Ok(StatusTask::Close { batch: batch_id(row, "id")?, round: small_number(row, "round")? });
    rows.iter().map(end).collect()
}

/// See [`Ledger::close`](crate::ledger::Ledger::close).
pub(super) struct Close {
    pub rules: Rules,
    pub batch: BatchId,
    pub round: u32,
}

#[async_trait]
impl Verb for Close {
    type Output = Closed;
    const OPERATION: &'static str = "close a batch";

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
        let Some(closed) = closed_status(status(&row, "status")?, &record.jobs) else {
            return Ok(Closed::NothingToDo);
        };
        let error = error_of(conn, id, &record.jobs).await?;
        BatchEnd { error, ..BatchEnd::of(&record, closed) }.record(conn, self.rules, id).await?;
        Ok(Closed::Now(batch(conn, id).await?))
    }
}

async fn error_of(conn: &impl GenericClient, id: BatchId, jobs: &JobCounts) -> Result<Option<String>> {
    if jobs.failed == 0 {
        return Ok(None);
    }
    let row = conn.query_one(&conn.prepare_cached(FIRST_ERROR).await?, &[&id.get()]).await?;
    Ok(Some(closing_error(jobs, row.try_get("error")?)))
}

/// The end of a batch without open jobs.
pub(super) struct BatchEnd {
    pub status: BatchStatus,
    pub error: Option<String>,
    pub counts: JobCounts,
    pub measured: Measured,
}

impl BatchEnd {
    /// The end with the counts of `record`, without an error.
    pub(super) const fn of(record: &BatchRecord, status: BatchStatus) -> Self {
        Self { status, error: None, counts: record.jobs, measured: record.measured }
    }

    pub(super) async fn record(self, conn: &impl GenericClient, rules: Rules, id: BatchId) -> Result<()> {
        let JobCounts { completed, failed, cancelled, .. } = self.counts;
        let [completed, failed, cancelled, items] = [completed, failed, cancelled, self.measured.items].map(key);
        let (batch, status, worked) = (id.get(), self.status.as_str(), millis(self.measured.worked));
        let parameters: [&(dyn ToSql + Sync); 8] =
            [&batch, &status, &self.error, &completed, &failed, &cancelled, &items, &worked];
        conn.execute(&conn.prepare_cached(CLOSE).await?, &parameters).await?;
        hooks::record_batch_end(conn, rules, id).await
    }
}
