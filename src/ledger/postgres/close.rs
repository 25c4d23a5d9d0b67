//! close: the end of a batch whose jobs all ended.

use async_trait::async_trait;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{key, small, status},
    error::Answer,
    hooks,
    pool::Verb,
    read::batch,
};
use crate::domain::{BatchId, BatchStatus, Change, JobCounts};
use crate::ledger::{Closed, Rules};

// As `lock` in steer.rs.
const STANDING: &str = "SELECT status FROM batches WHERE id = $1 AND round = $2 AND open_jobs = 0 FOR UPDATE";
const FIRST_ERROR: &str = "SELECT error FROM jobs WHERE batch = $1 AND state = 'failed' ORDER BY seq LIMIT 1";
const CLOSE: &str = include_str!("sql/close.sql");

/// See [`Ledger::close`](crate::ledger::Ledger::close).
pub(super) struct Close {
    pub rules: Rules,
    pub batch: BatchId,
    pub round: u32,
}

#[async_trait]
impl Verb for Close {
    type Answer = Closed;
    const DOING: &'static str = "close a batch";

    async fn run(&self, conn: &mut Client) -> Answer<Closed> {
        let transaction = conn.transaction().await?;
        let closed = self.close(&transaction).await?;
        transaction.commit().await?;
        Ok(closed)
    }
}

impl Close {
    async fn close(&self, conn: &impl GenericClient) -> Answer<Closed> {
        let (id, standing) = (self.batch, conn.prepare_cached(STANDING).await?);
        let found = conn.query_opt(&standing, &[&id.get(), &small(self.round)]).await?;
        let Some(row) = found else { return Ok(Closed::Over) };
        let counts = batch(conn, id).await?.jobs;
        let Ok(closed) = status(&row, "status")?.after(Change::Close { failed: counts.failed > 0 }) else {
            return Ok(Closed::Over);
        };
        let error = why_failed(conn, id, &counts).await?;
        End { status: closed, error, counts, items_more: 0, version_more: 1 }.put_down(conn, self.rules, id).await?;
        Ok(Closed::Now(batch(conn, id).await?))
    }
}

async fn why_failed(conn: &impl GenericClient, id: BatchId, counts: &JobCounts) -> Answer<Option<String>> {
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
    /// Items that active jobs had not handed in.
    pub items_more: i64,
    /// How much higher the version is than the one of the batch's row.
    pub version_more: i64,
}

impl End {
    pub(super) async fn put_down(self, conn: &impl GenericClient, rules: Rules, id: BatchId) -> Answer<()> {
        let JobCounts { completed, failed, cancelled, .. } = self.counts;
        let [completed, failed, cancelled] = [completed, failed, cancelled].map(key);
        let (batch, status) = (id.get(), self.status.as_str());
        let parameters: [&(dyn ToSql + Sync); 8] =
            [&batch, &status, &self.error, &completed, &failed, &cancelled, &self.items_more, &self.version_more];
        conn.execute(&conn.prepare_cached(CLOSE).await?, &parameters).await?;
        hooks::batch_over(conn, rules, id).await
    }
}
