//! `at_end`, close: the end of a batch whose jobs all ended.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{batch_id, key, small, small_number, status},
    error::Result,
    finish_attempt::millis,
    hooks,
    pool::Verb,
    read::batch,
};
use crate::domain::{BatchId, BatchRecord, BatchStatus, Change, JobCounts, Measured, StatusTask};
use crate::ledger::{Closed, Rules};

pub(super) const AT_END: &str = include_str!("sql/batches_at_end.sql");
// As `lock` in steer.rs, but without the gate: no job is left that could be claimed, so no claims
// come that could overtake it.
const LOCK: &str = "SELECT status FROM batches WHERE id = $1 AND round = $2 AND jobs > 0 FOR NO KEY UPDATE";
const FIRST_ERROR: &str = "SELECT error FROM jobs 
    WHERE batch = $1 AND state = 'failed' AND error IS NOT NULL AND finished_at IS NOT NULL ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");

/// See [`Ledger::at_end`](crate::ledger::Ledger::at_end).
pub(super) struct AtEnd(pub Vec<i64>);

#[async_trait]
impl Verb for AtEnd {
    type Output = Vec<StatusTask>;
    const OPERATION: &'static str = "look for batches to close";

    async fn run(&self, conn: &mut Client) -> Result<Vec<StatusTask>> {
        at_end(conn, &self.0).await
    }
}

pub(super) async fn at_end(conn: &impl GenericClient, batches: &[i64]) -> Result<Vec<StatusTask>> {
    let rows = conn.query(&conn.prepare_cached(AT_END).await?, &[&batches]).await?;
    let end = |row| Ok(StatusTask::End { batch: batch_id(row, "id")?, round: small_number(row, "round")? });
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
        let Some(row) = conn.query_opt(&lock, &[&id.get(), &small(self.round)]).await? else { return Ok(Closed::Over) };
        // A statement of its own: the one that waited for the lock does not see what a retry
        // reopened meanwhile.
        let record = batch(conn, id).await?;
        if record.jobs.open() > 0 {
            return Ok(Closed::Over);
        }
        let Ok(closed) = status(&row, "status")?.after(Change::Close { failed: record.jobs.failed > 0 }) else {
            return Ok(Closed::Over);
        };
        let error = why_failed(conn, id, &record.jobs).await?;
        End { error, ..End::of(&record, closed) }.record(conn, self.rules, id).await?;
        Ok(Closed::Now(batch(conn, id).await?))
    }
}

async fn why_failed(conn: &impl GenericClient, id: BatchId, counts: &JobCounts) -> Result<Option<String>> {
    if counts.failed == 0 {
        return Ok(None);
    }
    let row = conn.query_one(&conn.prepare_cached(FIRST_ERROR).await?, &[&id.get()]).await?;
    let first: &str = row.try_get("error")?;
    Ok(Some(format!("{} of {} jobs failed: {first}", counts.failed, counts.total())))
}

/// How a batch ends none of whose jobs is open.
pub(super) struct End {
    pub status: BatchStatus,
    pub error: Option<String>,
    pub counts: JobCounts,
    pub measured: Measured,
}

impl End {
    /// With the counts of `record`, and without an error.
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
        hooks::batch_over(conn, rules, id).await
    }
}
