//! summarize, backlog: the counts that lists and estimates read instead of jobs.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::{Row, types::ToSql};

use super::{
    columns::{batch_id, key, millis, number},
    error::{Result, unreadable},
    pool::{Lane, Verb},
    read::read_measured,
};
use crate::domain::{BatchId, Measured};
use crate::ledger::{
    decide::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES, OLD_AFTER, OLD_ROWS, OpenBatch},
    query::{COUNT_INTERVAL, RecentWork},
};

const TO_COUNT: &str = include_str!("sql/summaries_to_count.sql");
const COUNT: &str = include_str!("sql/count_jobs.sql");
const SUMMARIZE: &str = include_str!("sql/summarize.sql");
const OLD: &str = include_str!("sql/old_summaries.sql");
const LEFT_BEHIND: &str = "SELECT DISTINCT batch FROM summaries s
    WHERE active > 0 AND counted_at < now() - $1::bigint * interval '1 millisecond'
      AND NOT EXISTS (SELECT FROM summaries WHERE batch = s.batch AND counted_at > s.counted_at)
    LIMIT $2";
const BACKLOG: &str = include_str!("sql/backlog.sql");
const MEASURED: &str = "SELECT items_created, worked_ms FROM batches
    WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 1";

/// The process id of counts made by verbs that change a whole batch.
const NO_PROCESS: i64 = 0;

/// Finds out which of the batches to count. See
/// [`Records::summarize`](crate::ledger::Records::summarize).
pub(super) struct ToCount {
    pub process: i64,
    pub work: Arc<[RecentWork]>,
}

#[async_trait]
impl Verb for ToCount {
    type Output = Vec<OpenBatch>;
    const OPERATION: &'static str = "find batches to count";

    async fn run(&self, conn: &mut Client) -> Result<Vec<OpenBatch>> {
        let batches: Vec<i64> = self.work.iter().map(|work| work.batch.get()).collect();
        let statement = conn.prepare_cached(TO_COUNT).await?;
        let rows = conn.query(&statement, &[&batches, &self.process, &millis(COUNT_INTERVAL)]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }
}

impl ToCount {
    fn read(&self, row: &Row) -> Result<OpenBatch> {
        let batch = batch_id(row, "id")?;
        let work = self.work.iter().find(|work| work.batch == batch).copied();
        Ok(OpenBatch {
            work: work.ok_or_else(|| unreadable(format!("batch {batch} was not requested")))?,
            jobs: number(row, "jobs")?,
            counted: row.try_get("counted")?,
        })
    }
}

/// Counts some batches and returns those whose counts were stored.
pub(super) struct Summarize {
    pub process: i64,
    pub work: Vec<RecentWork>,
}

#[async_trait]
impl Verb for Summarize {
    type Output = Vec<BatchId>;
    const OPERATION: &'static str = "count the jobs of batches";

    async fn run(&self, conn: &mut Client) -> Result<Vec<BatchId>> {
        let stored = summarize(&*conn, self.process, &self.work).await?;
        let batches: Vec<i64> = stored.iter().map(|batch| batch.get()).collect();
        let parameters: [&(dyn ToSql + Sync); 4] = [&batches, &self.process, &millis(OLD_AFTER), &key(OLD_ROWS)];
        conn.execute(&conn.prepare_cached(OLD).await?, &parameters).await?;
        Ok(stored)
    }
}

/// Counts the jobs of one batch, for a verb that changes the whole batch and has locked it.
pub(super) async fn count_batch(conn: &impl GenericClient, batch: BatchId) -> Result<()> {
    summarize(conn, NO_PROCESS, &[RecentWork { batch, items: 0, last_item_at: None }]).await.map(drop)
}

async fn summarize(conn: &impl GenericClient, process: i64, work: &[RecentWork]) -> Result<Vec<BatchId>> {
    let batches: Vec<i64> = work.iter().map(|work| work.batch.get()).collect();
    let counted = conn.query(&conn.prepare_cached(COUNT).await?, &[&batches]).await?;
    let mut summaries = Counted::default();
    for row in &counted {
        summaries.push(row, work)?;
    }
    let rows = conn.query(&conn.prepare_cached(SUMMARIZE).await?, &summaries.parameters(&process)).await?;
    rows.iter().map(|row| batch_id(row, "batch")).collect()
}

/// Counts of batches, as columns.
#[derive(Default)]
struct Counted {
    numbers: [Vec<i64>; 8],
    count_times: Vec<DateTime<Utc>>,
    items: Vec<i64>,
    last_item_at: Vec<Option<DateTime<Utc>>>,
}

impl Counted {
    const NUMBERS: [&'static str; 8] =
        ["batch", "waiting", "active", "delayed", "completed", "failed", "items_created", "worked_ms"];

    fn push(&mut self, row: &Row, work: &[RecentWork]) -> Result<()> {
        for (column, name) in self.numbers.iter_mut().zip(Self::NUMBERS) {
            column.push(row.try_get(name)?);
        }
        let batch = batch_id(row, "batch")?;
        let work = work.iter().find(|work| work.batch == batch);
        self.count_times.push(row.try_get("counted_at")?);
        self.items.push(work.map_or(0, |work| key(work.items)));
        self.last_item_at.push(work.and_then(|work| work.last_item_at));
        Ok(())
    }

    fn parameters<'a>(&'a self, process: &'a i64) -> Vec<&'a (dyn ToSql + Sync)> {
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![process];
        parameters.extend(self.numbers.iter().map(|column| column as &(dyn ToSql + Sync)));
        parameters.extend([&self.count_times as &(dyn ToSql + Sync), &self.items, &self.last_item_at]);
        parameters
    }
}

/// Batches that the process which worked on them no longer counts.
pub(super) async fn stale_batches(conn: &impl GenericClient) -> Result<Vec<BatchId>> {
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
    type Output = crate::ledger::query::Backlog;
    const OPERATION: &'static str = "read the backlog";
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Self::Output> {
        let rows = conn.query(&conn.prepare_cached(BACKLOG).await?, &[&key(self.limit)]).await?;
        let open = rows.iter().map(|row| number(row, "open")).collect::<Result<_>>()?;
        let last = conn.query_opt(&conn.prepare_cached(MEASURED).await?, &[]).await?;
        let measured = last.as_ref().map_or(Ok(Measured::default()), read_measured)?;
        Ok(crate::ledger::query::Backlog { open, measured })
    }
}
