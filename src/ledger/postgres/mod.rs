//! The ledger in a PostgreSQL server.
//!
//! ```text
//!   PostgresLedger   one method a verb, each with a file of its own
//!       │
//!   PostgresPool ──▶ a verb at a time, on each of a few connections
//!            └─────▶ as many for the host
//! ```
//!
//! A verb is a struct of its arguments with a `run` over a connection. Its SQL stands in `sql/`, or in its own file when it is short.
//! A verb that touches several rows takes the batch first, then its jobs by number, then the hooks. What workers do all the time takes one
//! job alone, and leaves the batch's row as it is: a begin locks it for sharing, so that it waits for a pause or a cancel; a chunk and an end
//! don't look at it. So jobs of one batch don't wait for each other. Whoever reads a batch counts its jobs; lists read what was counted last.
//!
//! Before the row, a begin, a pause, a cancel and a retry take the batch's gate, an advisory lock that begins share. It makes them wait in
//! the order in which they came; with the row's lock alone, begins that overlap would overtake a pause for ever.
//!
//! `host.rs` makes batches on connections of the host's, in its transactions. Statements that run there name the schema; all others rely on
//! the search path of our own connections.

mod address;
mod begin;
mod close;
mod code_key;
mod columns;
mod complete;
mod create;
mod error;
mod feed;
mod forget;
mod hooks;
mod host;
mod item_writer;
mod lead;
mod migrate;
mod plan;
mod pool;
mod read;
mod redacted;
mod retry;
mod settle;
mod steer;
mod summarize;
mod tls;
mod to_the_end;
mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket_db_pools::Pool as _;

pub use self::{
    host::HostTransactions,
    item_writer::ItemWriter,
    pool::{PostgresConnection, PostgresPool},
};
use super::{
    Backlog, Begun, Closed, Created, Cut, FirstChunk, Forgotten, Hold, Hook, JobQuery, LastChunk, Lead, Ledger,
    NewBatch, NewItem, OpenJobs, OpenTasks, Planned, Portion, RecentWork, Records, Result, Rules, Settled, Settlement,
    Slice, TaskQuery, Told, Wish, Written, decide::portions,
};
use crate::domain::{
    BatchId, BatchRecord, BatchStatus, Call, CodeKey, FailedJob, HookId, Invalid, Item, RetryReport, StatusTask,
};

/// The ledger in a PostgreSQL database.
///
/// A verb waits for a connection, and not longer than the pool's `connect_timeout`; with one, each of its statements is bounded by
/// `statement_timeout` at the server.
pub struct PostgresLedger {
    pool: PostgresPool,
    rules: Rules,
    statements: Arc<create::Statements>,
    item_writer: Option<Arc<dyn ItemWriter>>,
}

impl PostgresLedger {
    /// The ledger in the database of `pool`, whose tables are up to date already.
    #[must_use]
    pub fn new(pool: PostgresPool, rules: Rules) -> Self {
        let statements = Arc::new(create::Statements::of(pool.schema()));
        Self { pool, rules, statements, item_writer: None }
    }

    /// Has the rows of new items written by `item_writer` as well. A chunk is a transaction of several statements then.
    #[must_use]
    pub fn with_item_writer(self, item_writer: Arc<dyn ItemWriter>) -> Self {
        Self { item_writer: Some(item_writer), ..self }
    }
}

/// Names one call of a verb.
fn token() -> i64 {
    fastrand::i64(..)
}

#[async_trait]
impl Records for PostgresLedger {
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord> {
        self.pool.run(read::Batch(batch)).await
    }

    async fn batches(&self, status: Option<BatchStatus>, slice: Slice) -> Result<Vec<BatchRecord>> {
        self.pool.run(read::Batches { status, slice }).await
    }

    async fn items(&self, batch: BatchId, slice: Slice) -> Result<Vec<Item>> {
        self.pool.run(read::Items { batch, slice }).await
    }

    async fn failed_jobs(&self, batch: BatchId, slice: Slice) -> Result<Portion<FailedJob>> {
        self.pool.run(read::FailedJobs { batch, slice }).await
    }

    async fn backlog(&self, limit: u64) -> Result<Backlog> {
        self.pool.run(summarize::Backlog { limit }).await
    }

    /// Each portion is a verb of its own, so that none takes longer than a statement may.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>> {
        let (process, work) = (process.cast_signed(), work.into());
        let open = self.pool.run(summarize::ToCount { process, work }).await?;
        let (portions, mut left) = portions(open);
        for work in portions {
            let mut batches: Vec<_> = work.iter().map(|work| work.batch).collect();
            let kept = self.pool.run(summarize::Summarize { process, work }).await?;
            batches.retain(|batch| !kept.contains(batch));
            left.append(&mut batches);
        }
        Ok(left)
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn create(&self, batch: NewBatch) -> Result<Created> {
        self.pool.run(create::Create::new(self.statements.clone(), batch, token())).await
    }

    async fn plan(&self, batch: BatchId, cut: std::result::Result<Cut, Invalid>) -> Result<Planned> {
        self.pool.run(plan::Planning { rules: self.rules, batch, cut }).await
    }

    async fn begin(&self, call: Call) -> Result<Begun> {
        self.pool.run(begin::Begin { rules: self.rules, call, token: token(), first_chunk: None }).await
    }

    async fn claim_and_insert(&self, call: Call, chunk: FirstChunk) -> Result<Begun> {
        let first_chunk = (self.item_writer.is_none() && chunk.begins_its_job()).then_some(chunk);
        self.pool.run(begin::Begin { rules: self.rules, call, token: token(), first_chunk }).await
    }

    async fn write(&self, hold: &Hold, items: Arc<[NewItem]>) -> Result<Written> {
        let (hold, item_writer) = (hold.clone(), self.item_writer.clone());
        self.pool.run(write::Write { hold, items, item_writer }).await
    }

    async fn settle(&self, hold: &Hold, how: Settlement, worked: Duration) -> Result<Settled> {
        self.pool.run(settle::Settle { rules: self.rules, hold: hold.clone(), how, worked }).await
    }

    async fn insert_and_complete(&self, hold: &Hold, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk> {
        if self.item_writer.is_some() || items.is_empty() {
            return Ok(LastChunk::Unchanged);
        }
        self.pool.run(complete::InsertAndComplete { rules: self.rules, hold: hold.clone(), items, worked }).await
    }

    async fn at_end(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
        self.pool.run(close::AtEnd(batches.iter().map(|batch| batch.get()).collect())).await
    }

    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed> {
        self.pool.run(close::Close { rules: self.rules, batch, round }).await
    }

    async fn steer(&self, batch: BatchId, wish: Wish) -> Result<BatchRecord> {
        self.pool.run(steer::Steer { rules: self.rules, batch, wish }).await
    }

    async fn retry(&self, batch: BatchId) -> Result<RetryReport> {
        self.pool.run(retry::Retry { rules: self.rules, batch }).await
    }

    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs> {
        self.pool.run(feed::Jobs(query)).await
    }

    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks> {
        self.pool.run(feed::Tasks(query)).await
    }

    async fn hook(&self, hook: HookId) -> Result<Option<Hook>> {
        self.pool.run(hooks::Hook(hook)).await
    }

    async fn settle_hook(&self, hook: HookId, attempts: u32, how: Told) -> Result<()> {
        self.pool.run(hooks::SettleHook { hook, attempts, how }).await
    }

    async fn forget(&self, kept: Duration, most: u64) -> Result<Forgotten> {
        self.pool.run(forget::Forget { kept, most }).await
    }

    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey> {
        self.pool.run(code_key::KeepKey(candidate)).await
    }

    async fn lead(&self) -> Result<Option<Lead>> {
        lead::lead(&self.pool).await
    }

    async fn ping(&self) -> Result<()> {
        self.pool.run(pool::Ping).await
    }

    async fn shut(&self) {
        self.pool.close().await;
    }
}
