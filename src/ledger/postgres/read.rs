//! batch, batches, items: reads. Each result comes from one statement, and so from one snapshot.

use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;

use super::{
    error::Result,
    pool::{Lane, Verb},
};
use crate::domain::{BatchId, BatchRecord, BatchStatus, Item};
use crate::ledger::{columns::key, error::LedgerError, operation, query::PageRequest, rows, types::BatchInfo};

const HISTORY_REMOVED: &str = "SELECT history <> 'complete' FROM batches WHERE id = $1";
const EXISTS: &str = "SELECT EXISTS (SELECT FROM batches WHERE id = $1)";
const BATCH: &str = include_str!("sql/batch.sql");
const BATCHES: &str = concat!(include_str!("sql/batches.sql"), "WHERE b.id < $1 ORDER BY b.id DESC LIMIT $2");
const BATCHES_BY_STATUS: &str =
    concat!(include_str!("sql/batches.sql"), "WHERE b.id < $1 AND b.status = $3 ORDER BY b.id DESC LIMIT $2");
const INFO: &str = "SELECT quantity, batch_size, prefix, max_jobs FROM batches WHERE id = $1";
const ITEMS: &str = "SELECT batch, ordinal, code, created_at FROM items
    WHERE batch = $1 AND ordinal > $2 ORDER BY ordinal LIMIT $3";

/// See [`Ledger::batch`](crate::ledger::Ledger::batch).
pub(super) struct Batch(pub BatchId);

impl Verb for Batch {
    type Output = BatchRecord;
    const OPERATION: &'static str = operation::BATCH;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<BatchRecord> {
        batch(conn, self.0).await
    }
}

pub(super) async fn batch(conn: &impl GenericClient, id: BatchId) -> Result<BatchRecord> {
    let row = conn.query_opt(&conn.prepare_cached(BATCH).await?, &[&id.get()]).await?;
    rows::batch(&row.ok_or(LedgerError::NoSuchBatch(id))?)
}

/// Reads the facts about a batch that an item writer receives.
pub(super) async fn batch_info(conn: &impl GenericClient, id: BatchId) -> Result<BatchInfo> {
    rows::batch_info(&conn.query_one(&conn.prepare_cached(INFO).await?, &[&id.get()]).await?, id)
}

/// See [`Ledger::batches`](crate::ledger::Ledger::batches).
pub(super) struct Batches {
    pub status: Option<BatchStatus>,
    pub page: PageRequest,
}

impl Verb for Batches {
    type Output = Vec<BatchRecord>;
    const OPERATION: &'static str = operation::BATCHES;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Vec<BatchRecord>> {
        let (before, limit) = (self.page.after.map_or(i64::MAX, key), key(self.page.limit));
        let rows = match self.status {
            None => conn.query(&conn.prepare_cached(BATCHES).await?, &[&before, &limit]).await?,
            Some(status) => {
                let statement = conn.prepare_cached(BATCHES_BY_STATUS).await?;
                conn.query(&statement, &[&before, &limit, &status.as_str()]).await?
            }
        };
        rows.iter().map(rows::batch).collect()
    }
}

/// See [`Ledger::items`](crate::ledger::Ledger::items).
pub(super) struct Items {
    pub batch: BatchId,
    pub page: PageRequest,
}

impl Verb for Items {
    type Output = Vec<Item>;
    const OPERATION: &'static str = operation::ITEMS;
    const LANE: Lane = Lane::Requests;

    async fn run(&self, conn: &mut Client) -> Result<Vec<Item>> {
        let rows = read_page(conn, ITEMS, self.batch, self.page).await?;
        rows.iter().map(rows::item).collect()
    }
}

/// Reads the rows of a page, and fails if the batch does not exist.
async fn read_page(conn: &Client, sql: &str, batch: BatchId, page: PageRequest) -> Result<Vec<Row>> {
    let statement = conn.prepare_cached(sql).await?;
    let rows = conn.query(&statement, &[&batch.get(), &page.after.map_or(-1, key), &key(page.limit)]).await?;
    if rows.is_empty() {
        check_exists(conn, batch).await?;
    }
    Ok(rows)
}

pub(super) async fn check_exists(conn: &Client, batch: BatchId) -> Result<()> {
    let row = conn.query_one(&conn.prepare_cached(EXISTS).await?, &[&batch.get()]).await?;
    if row.try_get(0)? { Ok(()) } else { Err(LedgerError::NoSuchBatch(batch).into()) }
}

/// Whether any job rows of the batch were pruned.
pub(super) async fn is_history_removed(conn: &impl GenericClient, id: BatchId) -> Result<bool> {
    let row = conn.query_opt(&conn.prepare_cached(HISTORY_REMOVED).await?, &[&id.get()]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}
