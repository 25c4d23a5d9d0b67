//! `failed_jobs`, `failure_groups`: why jobs failed. Each result comes from one statement, and so
//! from one snapshot.

use deadpool_postgres::{Client, Transaction};
use serde::Serialize;
use tokio_postgres::{Row, types::ToSql};

use super::{
    error::Result,
    pool::{Lane, Verb},
    read::{check_exists, is_history_removed},
};
use crate::domain::{BatchId, FailedJob, FailureGroup};
use crate::ledger::{
    columns::{as_json, key},
    decide::PageBuilder,
    error::LedgerError,
    operation,
    query::{PageRequest, Portion},
    rows,
};

const FAILED_JOBS: &str = include_str!("sql/failed_jobs.sql");
const FAILURE_GROUPS: &str = include_str!("sql/failure_groups.sql");

/// See [`JobRecords::failed_jobs`](crate::ledger::verbs::JobRecords::failed_jobs).
pub(super) struct FailedJobs {
    pub batch: BatchId,
    pub group: Option<String>,
    pub page: PageRequest,
}

impl Verb for FailedJobs {
    type Output = Portion<FailedJob>;
    const OPERATION: &'static str = operation::FAILED_JOBS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Portion<FailedJob>> {
        let (batch, after, limit) = (self.batch.get(), self.page.after.map_or(-1, key), key(self.page.limit));
        let page = Page { sql: FAILED_JOBS, parameters: &[&batch, &after, &limit, &self.group] };
        page.of_batch(conn, self.batch, |row| rows::failed_job(row, self.batch)).await
    }
}

/// See [`JobRecords::failure_groups`](crate::ledger::verbs::JobRecords::failure_groups).
pub(super) struct FailureGroups {
    pub batch: BatchId,
    pub page: PageRequest,
}

impl Verb for FailureGroups {
    type Output = Portion<FailureGroup>;
    const OPERATION: &'static str = operation::FAILURE_GROUPS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Portion<FailureGroup>> {
        let (batch, skip, limit) = (self.batch.get(), key(self.page.after.unwrap_or(0)), key(self.page.limit));
        let page = Page { sql: FAILURE_GROUPS, parameters: &[&batch, &skip, &limit] };
        page.of_batch(conn, self.batch, |row| rows::failure_group(row, self.batch)).await
    }
}

/// A page of a list of jobs, whose rows may be long.
struct Page<'a> {
    sql: &'static str,
    parameters: &'a [&'a (dyn ToSql + Sync)],
}

impl Page<'_> {
    /// The number of rows per fetch: about as many as fill a page if all are as long as possible.
    const ROWS: i32 = 50;

    async fn of_batch<T: Serialize>(
        &self,
        conn: &mut Client,
        batch: BatchId,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Portion<T>> {
        let portion = self.fetch(&conn.transaction().await?, read).await?;
        if portion.rows.is_empty() {
            check_exists(conn, batch).await?;
        }
        // Checked last: the batch is marked together with the first removal of a row.
        if is_history_removed(conn, batch).await? {
            return Err(LedgerError::HistoryRemoved(batch).into());
        }
        Ok(portion)
    }

    /// Reads no more rows than fit into the page. A portal is one statement, and so one snapshot,
    /// however often it is fetched from.
    async fn fetch<T: Serialize>(
        &self,
        transaction: &Transaction<'_>,
        read: impl Fn(&Row) -> Result<T>,
    ) -> Result<Portion<T>> {
        let statement = transaction.prepare_cached(self.sql).await?;
        let portal = transaction.bind(&statement, self.parameters).await?;
        let mut page = PageBuilder::new();
        loop {
            let rows = transaction.query_portal(&portal, Self::ROWS).await?;
            for row in &rows {
                let entry = read(row)?;
                let json = as_json(&entry)?;
                page.push(entry, &json);
            }
            if page.is_full() || rows.len() < Self::ROWS as usize {
                return Ok(page.build());
            }
        }
    }
}
