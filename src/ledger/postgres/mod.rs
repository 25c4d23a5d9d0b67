//! The ledger in a PostgreSQL server.
//!
//! ```text
//!   PostgresLedger   one method per verb
//!       │
//!   PostgresPool ──▶ connections for verbs, one verb at a time on each
//!            └─────▶ as many for the host
//! ```
//!
//! A verb is a struct of its arguments with a `run` over a connection. Its SQL is in `sql/`, or in
//! its own file if it is short. A verb that changes several rows locks the batch first, then its
//! jobs by number, then the hooks. The frequent verbs of workers lock one job and leave the batch's
//! row unchanged: a claim locks it for sharing, so that it waits for a pause or a cancel; a chunk
//! and the end of an attempt do not read it. So jobs of one batch do not wait for each other.
//! Reading a batch counts its jobs; lists read the latest counts.
//!
//! Before the row, a claim, a pause, a cancel and a retry lock the batch's gate, an advisory lock
//! that claims share. It is granted in order of arrival. With the row's lock alone, overlapping
//! claims could delay a pause for ever.
//!
//! `host.rs` creates batches in transactions of the host. Its statements name the schema; all
//! others rely on the search path of the ledger's own connections. The host's statements have
//! another one, see `search_path.rs`.

mod address;
mod audit;
mod changes;
mod claim;
mod close;
mod code_index;
mod code_key;
mod columns;
mod complete;
mod control;
mod create;
mod detach_on_drop;
mod error;
mod failures;
mod feed;
mod finish_attempt;
mod finish_hook;
mod hooks;
mod host;
mod identity;
mod insert_chunk;
mod item_checks;
mod item_writer;
mod jobs;
mod leadership;
mod migrate;
mod open_hooks;
mod plan;
mod pool;
mod prune_history;
mod read;
mod redacted;
mod repair;
mod retry;
mod search_path;
mod setup_lock;
mod summarize;
mod tls;
mod token;
mod totals;
mod workers;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket_db_pools::Pool as _;

pub(crate) use self::error::classified;
pub use self::{
    finish_hook::FinishHook,
    host::HostTransactions,
    item_writer::ItemWriter,
    pool::{PostgresConnection, PostgresPool},
    setup_lock::SetupLock,
};
use self::{
    finish_hook::{BoundedHook, Finisher},
    item_writer::Writer,
    token::token,
};
use super::{
    decide::portions,
    error::{LedgerError, Result},
    identity::random_identity,
    item_checks::{ItemChecks, JobGaps, StoredCheck},
    leadership::Leadership,
    query::{
        AuditFilter, Backlog, BatchChange, ChangeQuery, JobQuery, OpenJobs, OpenTasks, PageRequest, Portion,
        RecentWork, TaskQuery, TotalCounts,
    },
    types::{
        AttemptResult, BatchCommand, ChunkInserted, Claim, Claimed, Closed, Created, Finished, FirstChunk, Hook,
        HookOutcome, HookRetry, LastChunk, NewBatch, NewItem, PlanInput, Planned, Pruned, Rules,
    },
    verbs::{AuditRecords, JobRecords, Ledger, Records, Totals, WorkerRecords, WorkerReport},
};
use crate::domain::{
    AuditEntry, Backoff, BatchId, BatchRecord, BatchStatus, Caller, CodeKey, Delivery, FailedJob, FailureGroup, HookId,
    InvalidFields, Item, ItemPage, JobMap, JobRecord, JobState, ProcessId, RepairReport, RetryOptions, RetryReport,
    StatusTask, WorkerRecord,
};

/// The ledger in a PostgreSQL database.
///
/// A verb waits for a connection for at most the pool's `connect_timeout`. The server ends each of
/// its statements after `statement_timeout`.
pub struct PostgresLedger {
    pool: PostgresPool,
    rules: Rules,
    statements: Arc<create::Statements>,
    finisher: Finisher,
    item_writer: Option<Arc<Writer>>,
}

impl PostgresLedger {
    /// A ledger in the database of `pool`, which has migrated the tables.
    #[must_use]
    pub fn new(pool: PostgresPool, rules: Rules) -> Self {
        let statements = Arc::new(create::Statements::of(pool.schema()));
        Self { pool, rules, statements, finisher: Finisher { rules, hook: None }, item_writer: None }
    }

    /// Passes the rows of new items to `item_writer` as well. A chunk is then a transaction of
    /// several statements.
    #[must_use]
    pub fn with_item_writer(self, item_writer: Arc<dyn ItemWriter>) -> Self {
        let writer = Writer::new(item_writer, Arc::clone(self.pool.schema()));
        Self { item_writer: Some(Arc::new(writer)), ..self }
    }

    /// Calls `hook` in the transactions that finish batches, each time for at most `timeout`, and
    /// again after `backoff` when it fails.
    #[must_use]
    pub fn with_finish_hook(self, hook: Arc<dyn FinishHook>, backoff: Backoff, timeout: Duration) -> Self {
        let hook = Some(BoundedHook { hook, backoff, timeout, schema: Arc::clone(self.pool.schema()) });
        Self { finisher: Finisher { hook, ..self.finisher }, ..self }
    }

    /// Stores that the finish hook kept a batch from finishing.
    async fn delay_close(&self, batch: BatchId, round: u32, why: String) -> Result<Option<HookRetry>> {
        self.pool.run(finish_hook::DelayClose { finisher: self.finisher.clone(), batch, round, why }).await
    }
}

#[async_trait]
impl Records for PostgresLedger {
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord> {
        self.pool.run(read::Batch(batch)).await
    }

    async fn batches(&self, status: Option<BatchStatus>, page: PageRequest) -> Result<Vec<BatchRecord>> {
        self.pool.run(read::Batches { status, page }).await
    }

    async fn changes(&self, query: ChangeQuery) -> Result<Vec<BatchChange>> {
        self.pool.run(changes::Changes(query)).await
    }

    async fn items(&self, batch: BatchId, page: PageRequest) -> Result<Vec<Item>> {
        self.pool.run(read::Items { batch, page }).await
    }

    async fn identity(&self) -> Result<String> {
        self.pool.run(identity::Identity(random_identity())).await
    }

    async fn open_hooks(&self, batch: BatchId) -> Result<u64> {
        self.pool.run(open_hooks::OpenHooks(batch)).await
    }

    async fn backlog(&self, limit: u64) -> Result<Backlog> {
        self.pool.run(summarize::Backlog { limit }).await
    }

    /// Each portion is a separate verb, so that none exceeds the timeout of a statement.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>> {
        let (process, work) = (process.cast_signed(), work.into());
        let open = self.pool.run(summarize::ToCount { process, work }).await?;
        let (portions, mut left) = portions(open);
        for work in portions {
            let mut batches: Vec<_> = work.iter().map(|work| work.batch).collect();
            let stored = self.pool.run(summarize::Summarize { process, work }).await?;
            batches.retain(|batch| !stored.contains(batch));
            left.append(&mut batches);
        }
        Ok(left)
    }
}

#[async_trait]
impl JobRecords for PostgresLedger {
    async fn jobs(&self, batch: BatchId, state: Option<JobState>, page: PageRequest) -> Result<Portion<JobRecord>> {
        self.pool.run(jobs::Jobs { batch, state, page }).await
    }

    async fn failed_jobs(
        &self,
        batch: BatchId,
        group: Option<String>,
        page: PageRequest,
    ) -> Result<Portion<FailedJob>> {
        self.pool.run(failures::FailedJobs { batch, group, page }).await
    }

    async fn failure_groups(&self, batch: BatchId, page: PageRequest) -> Result<Portion<FailureGroup>> {
        self.pool.run(failures::FailureGroups { batch, page }).await
    }

    async fn job_map(&self, batch: BatchId) -> Result<JobMap> {
        self.pool.run(jobs::Map(batch)).await
    }
}

#[async_trait]
impl AuditRecords for PostgresLedger {
    async fn audit(&self, batch: BatchId, page: PageRequest) -> Result<Portion<AuditEntry>> {
        self.pool.run(audit::Audit { batch, page }).await
    }

    async fn audit_log(&self, filter: AuditFilter, page: PageRequest) -> Result<Portion<AuditEntry>> {
        self.pool.run(audit::AuditLog { filter, page }).await
    }

    async fn prune_audit(&self, age: Duration, max: u64) -> Result<u64> {
        self.pool.run(audit::PruneAudit { age, max }).await
    }
}

#[async_trait]
impl WorkerRecords for PostgresLedger {
    async fn report_worker(&self, report: WorkerReport) -> Result<()> {
        self.pool.run(workers::ReportWorker(report)).await
    }

    async fn remove_worker(&self, process: ProcessId) -> Result<()> {
        self.pool.run(workers::RemoveWorker(process)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        self.pool.run(workers::Workers).await
    }

    async fn has_workers(&self, span: Duration) -> Result<bool> {
        self.pool.run(workers::HasWorkers(span)).await
    }
}

#[async_trait]
impl Totals for PostgresLedger {
    async fn totals(&self) -> Result<TotalCounts> {
        self.pool.run(totals::CountTotals).await
    }
}

#[async_trait]
impl ItemChecks for PostgresLedger {
    async fn item_page(&self, batch: BatchId, from: u64, codes: bool) -> Result<ItemPage> {
        self.pool.run(item_checks::Page { batch, from, codes }).await
    }

    async fn start_check(&self, batch: BatchId, codes: bool, max_age: Duration) -> Result<StoredCheck> {
        self.pool.run(item_checks::Start { batch, codes, max_age }).await
    }

    async fn stored_check(&self, batch: BatchId, codes: bool) -> Result<Option<StoredCheck>> {
        self.pool.run(item_checks::Stored { batch, codes }).await
    }

    async fn store_check(&self, check: &StoredCheck, from: u64) -> Result<bool> {
        self.pool.run(item_checks::Store { check: check.clone(), from }).await
    }

    async fn jobs_with_gaps(&self, batch: BatchId, from: u64) -> Result<JobGaps> {
        self.pool.run(repair::JobsWithGaps { batch, from }).await
    }

    async fn repair(&self, batch: BatchId, seqs: Vec<u64>, caller: &Caller) -> Result<RepairReport> {
        self.pool.run(repair::Repair { batch, seqs, caller: caller.clone() }).await
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn create(&self, batch: NewBatch) -> Result<Created> {
        self.pool.run(create::Create::new(self.statements.clone(), batch, token())).await
    }

    async fn plan(&self, batch: BatchId, input: std::result::Result<PlanInput, InvalidFields>) -> Result<Planned> {
        match self.pool.run(plan::Planning { finisher: self.finisher.clone(), batch, input }).await {
            Err(LedgerError::HookFailed { why }) => {
                Ok(self.delay_close(batch, 0, why).await?.map_or(Planned::NothingToDo, Planned::HookFailed))
            }
            planned => planned,
        }
    }

    async fn claim(&self, delivery: Delivery) -> Result<Claimed> {
        self.pool.run(claim::ClaimJob { rules: self.rules, delivery, token: token(), first_chunk: None }).await
    }

    async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed> {
        let first_chunk = (self.item_writer.is_none() && chunk.is_prefix_of_job()).then_some(chunk);
        self.pool.run(claim::ClaimJob { rules: self.rules, delivery, token: token(), first_chunk }).await
    }

    async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted> {
        let (claim, writer) = (claim.clone(), self.item_writer.clone());
        self.pool.run(insert_chunk::InsertChunk { claim, items, writer }).await
    }

    async fn finish_attempt(&self, claim: &Claim, result: AttemptResult, worked: Duration) -> Result<Finished> {
        self.pool.run(finish_attempt::FinishAttempt { rules: self.rules, claim: claim.clone(), result, worked }).await
    }

    async fn insert_and_complete(&self, claim: &Claim, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk> {
        if self.item_writer.is_some() || items.is_empty() {
            return Ok(LastChunk::Unchanged);
        }
        self.pool.run(complete::InsertAndComplete { rules: self.rules, claim: claim.clone(), items, worked }).await
    }

    async fn batches_to_close(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
        self.pool.run(close::BatchesToClose { batches: batches.to_vec(), max_delay: self.finisher.max_delay() }).await
    }

    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed> {
        match self.pool.run(close::Close { finisher: self.finisher.clone(), batch, round }).await {
            Err(LedgerError::HookFailed { why }) => {
                Ok(self.delay_close(batch, round, why).await?.map_or(Closed::NothingToDo, Closed::HookFailed))
            }
            closed => closed,
        }
    }

    async fn control(&self, batch: BatchId, command: BatchCommand, caller: &Caller) -> Result<BatchRecord> {
        let (finisher, caller) = (self.finisher.clone(), caller.clone());
        self.pool.run(control::Control { finisher, batch, command, caller }).await
    }

    async fn retry(&self, batch: BatchId, options: RetryOptions, caller: &Caller) -> Result<RetryReport> {
        self.pool.run(retry::Retry { rules: self.rules, batch, options, caller: caller.clone() }).await
    }

    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs> {
        self.pool.run(feed::Jobs(query)).await
    }

    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks> {
        self.pool.run(feed::Tasks { query, max_delay: self.finisher.max_delay() }).await
    }

    async fn hook(&self, hook: HookId) -> Result<Option<Hook>> {
        self.pool.run(hooks::Hook(hook)).await
    }

    async fn record_hook_outcome(&self, hook: HookId, attempts: u32, outcome: HookOutcome) -> Result<()> {
        self.pool.run(hooks::RecordHookOutcome { hook, attempts, outcome }).await
    }

    async fn prune_history(&self, age: Duration, max: u64) -> Result<Pruned> {
        self.pool.run(prune_history::PruneHistory { age, max }).await
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
