//! The ledger in a PostgreSQL server.
//!
//! ```text
//!   PostgresLedger   one method a verb, each with a file of its own
//!       │
//!   PostgresPool ──▶ a verb at a time, on each of a few connections
//!            └─────▶ as many for the host
//! ```
//!
//! A verb is a struct of its arguments with a `run` over a connection. Its SQL stands in `sql/`, or
//! in its own file when it is short. A verb that touches several rows takes the batch first, then
//! its jobs by number, then the hooks. What workers do all the time takes one job alone, and leaves
//! the batch's row as it is: a begin locks it for sharing, so that it waits for a pause or a
//! cancel; a chunk and an end don't look at it. So jobs of one batch don't wait for each other.
//! Whoever reads a batch counts its jobs; lists read what was counted last.
//!
//! Before the row, a begin, a pause, a cancel and a retry take the batch's gate, an advisory lock
//! that begins share. It makes them wait in the order in which they came; with the row's lock
//! alone, begins that overlap would overtake a pause for ever.
//!
//! `host.rs` makes batches on connections of the host's, in its transactions. Statements that run
//! there name the schema; all others rely on the search path of our own connections.

mod address;
mod claim;
mod close;
mod code_key;
mod columns;
mod complete;
mod control;
mod create;
mod detach_on_drop;
mod error;
mod feed;
mod finish_attempt;
mod hooks;
mod host;
mod insert_chunk;
mod item_writer;
mod leadership;
mod migrate;
mod plan;
mod pool;
mod prune_history;
mod read;
mod redacted;
mod retry;
mod summarize;
mod tls;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket_db_pools::Pool as _;

pub use self::{
    host::HostTransactions,
    item_writer::ItemWriter,
    pool::{PostgresConnection, PostgresPool},
};
use super::{
    AttemptResult, Backlog, BatchCommand, ChunkInserted, Claim, Claimed, Closed, Created, Finished, FirstChunk, Hook,
    HookOutcome, JobQuery, LastChunk, Leadership, Ledger, NewBatch, NewItem, OpenJobs, OpenTasks, PageRequest,
    PlanInput, Planned, Portion, Pruned, RecentWork, Records, Result, Rules, TaskQuery, decide::portions,
};
use crate::domain::{
    BatchId, BatchRecord, BatchStatus, CodeKey, Delivery, FailedJob, HookId, Invalid, Item, RetryReport, StatusTask,
};

/// The ledger in a PostgreSQL database.
///
/// A verb waits for a connection, and not longer than the pool's `connect_timeout`; with one, each
/// of its statements is bounded by `statement_timeout` at the server.
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

    /// Has the rows of new items written by `item_writer` as well. A chunk is a transaction of
    /// several statements then.
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

    async fn batches(&self, status: Option<BatchStatus>, slice: PageRequest) -> Result<Vec<BatchRecord>> {
        self.pool.run(read::Batches { status, slice }).await
    }

    async fn items(&self, batch: BatchId, slice: PageRequest) -> Result<Vec<Item>> {
        self.pool.run(read::Items { batch, slice }).await
    }

    async fn failed_jobs(&self, batch: BatchId, slice: PageRequest) -> Result<Portion<FailedJob>> {
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

    async fn plan(&self, batch: BatchId, cut: std::result::Result<PlanInput, Invalid>) -> Result<Planned> {
        self.pool.run(plan::Planning { rules: self.rules, batch, cut }).await
    }

    async fn claim(&self, delivery: Delivery) -> Result<Claimed> {
        self.pool.run(claim::ClaimJob { rules: self.rules, delivery, token: token(), first_chunk: None }).await
    }

    async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed> {
        let first_chunk = (self.item_writer.is_none() && chunk.begins_its_job()).then_some(chunk);
        self.pool.run(claim::ClaimJob { rules: self.rules, delivery, token: token(), first_chunk }).await
    }

    async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted> {
        let (claim, item_writer) = (claim.clone(), self.item_writer.clone());
        self.pool.run(insert_chunk::InsertChunk { claim, items, item_writer }).await
    }

    async fn finish_attempt(&self, claim: &Claim, how: AttemptResult, worked: Duration) -> Result<Finished> {
        self.pool.run(finish_attempt::FinishAttempt { rules: self.rules, claim: claim.clone(), how, worked }).await
    }

    async fn insert_and_complete(&self, claim: &Claim, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk> {
        if self.item_writer.is_some() || items.is_empty() {
            return Ok(LastChunk::Unchanged);
        }
        self.pool.run(complete::InsertAndComplete { rules: self.rules, claim: claim.clone(), items, worked }).await
    }

    async fn at_end(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
        self.pool.run(close::AtEnd(batches.iter().map(|batch| batch.get()).collect())).await
    }

    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed> {
        self.pool.run(close::Close { rules: self.rules, batch, round }).await
    }

    async fn control(&self, batch: BatchId, wish: BatchCommand) -> Result<BatchRecord> {
        self.pool.run(control::Control { rules: self.rules, batch, wish }).await
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

    async fn record_hook_outcome(&self, hook: HookId, attempts: u32, how: HookOutcome) -> Result<()> {
        self.pool.run(hooks::SettleHook { hook, attempts, how }).await
    }

    async fn prune_history(&self, kept: Duration, max: u64) -> Result<Pruned> {
        self.pool.run(prune_history::PruneHistory { kept, max }).await
    }

    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey> {
        self.pool.run(code_key::KeepKey(candidate)).await
    }

    async fn try_acquire_leadership(&self) -> Result<Option<Leadership>> {
        leadership::try_acquire(&self.pool).await
    }

    async fn ping(&self) -> Result<()> {
        self.pool.run(pool::Ping).await
    }

    async fn shutdown(&self) {
        self.pool.close().await;
    }
}
