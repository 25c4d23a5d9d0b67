//! summarize, recount, backlog: what lists and estimates read instead of jobs.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{key, number},
    error::Answer,
    pool::Verb,
    read::read_measured,
    settle::millis,
};
use crate::domain::{BatchId, Measured};
use crate::ledger::RecentWork;

const SUMMARIZE: &str = include_str!("sql/summarize.sql");
const LEFT_BEHIND: &str = "SELECT DISTINCT batch FROM summaries s
    WHERE active > 0 AND counted_at < now() - $1::bigint * interval '1 millisecond'
      AND NOT EXISTS (SELECT FROM summaries WHERE batch = s.batch AND counted_at > s.counted_at)
    LIMIT $2";
const BACKLOG: &str = include_str!("sql/backlog.sql");
const MEASURED: &str = "SELECT items_created, worked_ms FROM batches
    WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 1";

/// Who counts when it is no process that works: a verb that changes a batch as a whole, or a recount.
const NO_PROCESS: i64 = 0;

/// See [`Ledger::summarize`](crate::ledger::Ledger::summarize).
pub(super) struct Summarize {
    pub process: i64,
    pub work: Vec<RecentWork>,
}

#[async_trait]
impl Verb for Summarize {
    type Answer = ();
    const DOING: &'static str = "count the jobs of batches";

    async fn run(&self, conn: &mut Client) -> Answer<()> {
        let batches: Vec<i64> = self.work.iter().map(|work| work.batch.get()).collect();
        let items: Vec<i64> = self.work.iter().map(|work| key(work.items)).collect();
        let times: Vec<Option<DateTime<Utc>>> = self.work.iter().map(|work| work.last_item_at).collect();
        let parameters: [&(dyn ToSql + Sync); 4] = [&batches, &self.process, &items, &times];
        conn.execute(&conn.prepare_cached(SUMMARIZE).await?, &parameters).await?;
        Ok(())
    }
}

/// Counts the jobs of one batch, for a verb that changes it as a whole.
pub(super) async fn count_anew(conn: &impl GenericClient, id: BatchId) -> Answer<()> {
    count(conn, &[id.get()]).await
}

async fn count(conn: &impl GenericClient, batches: &[i64]) -> Answer<()> {
    let (items, times) = (vec![0_i64; batches.len()], vec![None::<DateTime<Utc>>; batches.len()]);
    let statement = conn.prepare_cached(SUMMARIZE).await?;
    conn.execute(&statement, &[&batches, &NO_PROCESS, &items, &times]).await?;
    Ok(())
}

/// See [`Ledger::recount`](crate::ledger::Ledger::recount).
pub(super) struct Recount {
    pub since: Duration,
    pub limit: u64,
}

#[async_trait]
impl Verb for Recount {
    type Answer = u64;
    const DOING: &'static str = "count the jobs of batches again";

    async fn run(&self, conn: &mut Client) -> Answer<u64> {
        let statement = conn.prepare_cached(LEFT_BEHIND).await?;
        let rows = conn.query(&statement, &[&millis(self.since), &key(self.limit)]).await?;
        let batches = rows.iter().map(|row| row.try_get("batch")).collect::<Result<Vec<i64>, _>>()?;
        if !batches.is_empty() {
            count(conn, &batches).await?;
        }
        Ok(batches.len() as u64)
    }
}

/// See [`Ledger::backlog`](crate::ledger::Ledger::backlog).
pub(super) struct Backlog {
    pub limit: u64,
}

#[async_trait]
impl Verb for Backlog {
    type Answer = crate::ledger::Backlog;
    const DOING: &'static str = "read the backlog";

    async fn run(&self, conn: &mut Client) -> Answer<Self::Answer> {
        let rows = conn.query(&conn.prepare_cached(BACKLOG).await?, &[&key(self.limit)]).await?;
        let open = rows.iter().map(|row| number(row, "open")).collect::<Answer<_>>()?;
        let last = conn.query_opt(&conn.prepare_cached(MEASURED).await?, &[]).await?;
        let measured = last.as_ref().map_or(Ok(Measured::default()), read_measured)?;
        Ok(crate::ledger::Backlog { open, measured })
    }
}
