//! summarize, backlog: what lists and estimates read instead of jobs.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;

use super::{
    columns::{batch_id, key, number},
    error::Answer,
    pool::{Lane, Verb},
    read::read_measured,
    settle::millis,
};
use crate::domain::{BatchId, Measured};
use crate::ledger::{
    RecentWork,
    decide::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES},
};

const SUMMARIZE: &str = include_str!("sql/summarize.sql");
const LEFT_BEHIND: &str = "SELECT DISTINCT batch FROM summaries s
    WHERE active > 0 AND counted_at < now() - $1::bigint * interval '1 millisecond'
      AND NOT EXISTS (SELECT FROM summaries WHERE batch = s.batch AND counted_at > s.counted_at)
    LIMIT $2";
const BACKLOG: &str = include_str!("sql/backlog.sql");
const MEASURED: &str = "SELECT items_created, worked_ms FROM batches
    WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 1";

/// Who counts when it is no process that works: a verb that changes a batch as a whole.
const NO_PROCESS: i64 = 0;

/// See [`Records::summarize`](crate::ledger::Records::summarize).
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
    let statement = conn.prepare_cached(SUMMARIZE).await?;
    let (items, time) = (vec![0_i64], vec![None::<DateTime<Utc>>]);
    conn.execute(&statement, &[&vec![id.get()], &NO_PROCESS, &items, &time]).await?;
    Ok(())
}

/// Batches that whoever worked them does not count any more.
pub(super) async fn left_behind(conn: &impl GenericClient) -> Answer<Vec<BatchId>> {
    let statement = conn.prepare_cached(LEFT_BEHIND).await?;
    let rows = conn.query(&statement, &[&millis(LEFT_BEHIND_AFTER), &key(LEFT_BEHIND_BATCHES)]).await?;
    rows.iter().map(|row| batch_id(row, "batch")).collect()
}

/// See [`Records::backlog`](crate::ledger::Records::backlog).
pub(super) struct Backlog {
    pub limit: u64,
}

#[async_trait]
impl Verb for Backlog {
    type Answer = crate::ledger::Backlog;
    const DOING: &'static str = "read the backlog";
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Answer<Self::Answer> {
        let rows = conn.query(&conn.prepare_cached(BACKLOG).await?, &[&key(self.limit)]).await?;
        let open = rows.iter().map(|row| number(row, "open")).collect::<Answer<_>>()?;
        let last = conn.query_opt(&conn.prepare_cached(MEASURED).await?, &[]).await?;
        let measured = last.as_ref().map_or(Ok(Measured::default()), read_measured)?;
        Ok(crate::ledger::Backlog { open, measured })
    }
}
