//! The ledger in a SQLite file.
//!
//! ```text
//!   SqliteLedger   one method a verb, each with a file of its own
//!       │
//!   SqlitePool ──▶ Writer    one thread; commits for many callers at once
//!            └───▶ Readers   a few connections that see the last commit and can't write
//! ```
//!
//! The file is in write-ahead mode and every commit is flushed. A verb is a plain function over a connection that is in a transaction
//! already; it knows neither threads nor futures. Its SQL stands in `sql/`, or in its own file when it is short.

mod address;
mod begin;
mod close;
mod code_key;
mod columns;
mod create;
mod error;
mod feed;
mod forget;
mod hooks;
mod item_writer;
mod lead;
mod migrate;
mod plan;
mod pool;
mod read;
mod readers;
mod retry;
mod settle;
mod steer;
mod summarize;
mod write;
mod writer;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket_db_pools::Pool as _;

pub use self::{
    item_writer::ItemWriter,
    pool::{SqliteConnection, SqlitePool},
};
use super::{
    Backlog, Begun, Closed, Created, Cut, FirstChunk, Forgotten, Hold, Hook, JobQuery, LastChunk, Lead, Ledger,
    NewBatch, NewItem, OpenJobs, OpenTasks, Planned, Portion, RecentWork, Records, Result, Rules, Settled, Settlement,
    Slice, TaskQuery, Told, Wish, Written, decide::portions,
};
use crate::domain::{
    BatchId, BatchRecord, BatchStatus, Call, CodeKey, FailedJob, HookId, Invalid, Item, RetryReport, StatusTask,
};

/// The ledger in a SQLite database.
///
/// A verb waits for a place in the queue of the writer, and not longer than the pool's `connect_timeout`; if it is dropped there, it does
/// not run at all. With a place, it runs to its end.
pub struct SqliteLedger {
    pool: SqlitePool,
    rules: Rules,
    item_writer: Option<Arc<dyn ItemWriter>>,
}

impl SqliteLedger {
    /// The ledger in the database of `pool`, whose tables are up to date already.
    #[must_use]
    pub const fn new(pool: SqlitePool, rules: Rules) -> Self {
        Self { pool, rules, item_writer: None }
    }

    /// Has the rows of new items written by `item_writer` as well.
    #[must_use]
    pub fn with_item_writer(self, item_writer: Arc<dyn ItemWriter>) -> Self {
        Self { item_writer: Some(item_writer), ..self }
    }
}

#[async_trait]
impl Records for SqliteLedger {
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord> {
        self.pool.read("read a batch", move |conn| read::batch(conn, batch)).await
    }

    async fn batches(&self, status: Option<BatchStatus>, slice: Slice) -> Result<Vec<BatchRecord>> {
        self.pool.read("list batches", move |conn| read::batches(conn, status, slice)).await
    }

    async fn items(&self, batch: BatchId, slice: Slice) -> Result<Vec<Item>> {
        self.pool.read("list items", move |conn| read::items(conn, batch, slice)).await
    }

    async fn failed_jobs(&self, batch: BatchId, slice: Slice) -> Result<Portion<FailedJob>> {
        self.pool.read("list failed jobs", move |conn| read::failed_jobs(conn, batch, slice)).await
    }

    async fn backlog(&self, limit: u64) -> Result<Backlog> {
        self.pool.read("read the backlog", move |conn| summarize::backlog(conn, limit)).await
    }

    /// Counts on a reader, where it keeps nobody waiting, and has the writer keep the counts.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>> {
        const DOING: &str = "count the jobs of batches";
        let process = process.cast_signed();
        let open = self.pool.read_for_work(DOING, move |conn| summarize::to_count(conn, process, &work)).await?;
        let (portions, left) = portions(open);
        for work in portions {
            let counted = self.pool.read_for_work(DOING, move |conn| summarize::count(conn, &work)).await?;
            self.pool.write(DOING, move |conn| summarize::keep(conn, process, &counted)).await?;
        }
        Ok(left)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn create(&self, batch: NewBatch) -> Result<Created> {
        self.pool.write("create a batch", move |conn| create::create(conn, &batch)).await
    }

    async fn plan(&self, batch: BatchId, cut: std::result::Result<Cut, Invalid>) -> Result<Planned> {
        let rules = self.rules;
        self.pool.write("plan a batch", move |conn| plan::plan(conn, rules, batch, &cut)).await
    }

    async fn begin(&self, call: Call) -> Result<Begun> {
        let rules = self.rules;
        self.pool.write("begin a job", move |conn| begin::begin(conn, rules, call)).await
    }

    async fn claim_and_insert(&self, call: Call, chunk: FirstChunk) -> Result<Begun> {
        if self.item_writer.is_some() {
            return self.begin(call).await;
        }
        let rules = self.rules;
        let work = move |conn: &mut _| begin::claim_and_insert(conn, rules, call, &chunk);
        self.pool.write("begin a job", work).await
    }

    async fn write(&self, hold: &Hold, items: Arc<[NewItem]>) -> Result<Written> {
        let (hold, item_writer) = (hold.clone(), self.item_writer.clone());
        self.pool.write("write items", move |conn| write::write(conn, &hold, &items, item_writer.as_deref())).await
    }

    async fn settle(&self, hold: &Hold, how: Settlement, worked: Duration) -> Result<Settled> {
        let (rules, hold) = (self.rules, hold.clone());
        self.pool.write("settle a job", move |conn| settle::settle(conn, rules, &hold, &how, worked)).await
    }

    async fn insert_and_complete(&self, hold: &Hold, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk> {
        if self.item_writer.is_some() {
            return Ok(LastChunk::Unchanged);
        }
        let (rules, hold) = (self.rules, hold.clone());
        let work = move |conn: &mut _| write::insert_and_complete(conn, rules, &hold, &items, worked);
        self.pool.write("write the last items of a job", work).await
    }

    async fn at_end(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
        let batches = batches.to_vec();
        self.pool.read_for_work("look for batches to close", move |conn| close::at_end(conn, &batches)).await
    }

    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed> {
        let rules = self.rules;
        self.pool.write("close a batch", move |conn| close::close(conn, rules, batch, round)).await
    }

    async fn steer(&self, batch: BatchId, wish: Wish) -> Result<BatchRecord> {
        let rules = self.rules;
        self.pool.write("steer a batch", move |conn| steer::steer(conn, rules, batch, wish)).await
    }

    async fn retry(&self, batch: BatchId) -> Result<RetryReport> {
        let rules = self.rules;
        self.pool.write("retry a batch", move |conn| retry::retry(conn, rules, batch)).await
    }

    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs> {
        let max_backoff = query.max_backoff;
        if self.pool.read_for_work("look for delayed jobs", move |conn| feed::any_late(conn, max_backoff)).await? {
            self.pool.write("bring delayed jobs forward", move |conn| feed::cap_delays(conn, max_backoff)).await?;
        }
        self.pool.read_for_work("look for open jobs", move |conn| feed::open_jobs(conn, &query)).await
    }

    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks> {
        self.pool.read_for_work("look for open tasks", move |conn| feed::open_tasks(conn, query)).await
    }

    async fn hook(&self, hook: HookId) -> Result<Option<Hook>> {
        self.pool.read_for_work("read a hook", move |conn| hooks::hook(conn, hook)).await
    }

    async fn settle_hook(&self, hook: HookId, attempts: u32, how: Told) -> Result<()> {
        self.pool.write("settle a hook", move |conn| hooks::settle_hook(conn, hook, attempts, &how)).await
    }

    async fn forget(&self, kept: Duration, most: u64) -> Result<Forgotten> {
        self.pool.write("remove the history of batches", move |conn| forget::forget(conn, kept, most)).await
    }

    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey> {
        self.pool.write("keep the code key", move |conn| code_key::code_key(conn, &candidate)).await
    }

    async fn lead(&self) -> Result<Option<Lead>> {
        lead::lead(&self.pool).await
    }

    /// Takes its turn with the writer, so that it finds a lock that another process holds.
    async fn ping(&self) -> Result<()> {
        self.pool.write("ping", |conn| Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }

    async fn shut(&self) {
        self.pool.close().await;
    }
}
