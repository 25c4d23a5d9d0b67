//! The ledger in a SQLite file.
//!
//! ```text
//!   SqliteLedger   one method per verb
//!       │
//!   SqlitePool ──▶ Writer    one thread; commits many calls at once
//!            └───▶ Readers   a few connections that see committed data and can't write
//! ```
//!
//! The file is in write-ahead mode and every commit is flushed. A verb is a plain function over a
//! connection that is already in a transaction. Its SQL is in `sql/`, or in its own file if it is
//! short.
//!
//! Longer than other files, because it passes on every verb.

mod address;
mod audit;
mod changes;
mod claim;
mod close;
mod code_key;
mod columns;
mod control;
mod create;
mod error;
mod failures;
mod feed;
mod finish_attempt;
mod finish_hook;
mod hooks;
mod host;
mod identity;
mod insert_chunk;
mod interact;
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
mod readers;
mod repair;
mod retry;
mod summarize;
mod totals;
mod workers;
mod writer;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket_db_pools::Pool as _;

pub(crate) use self::error::classified;
pub use self::{
    finish_hook::FinishHook,
    host::HostTransactions,
    interact::InteractError,
    item_writer::ItemWriter,
    pool::{SqliteConnection, SqlitePool},
};
use self::{finish_hook::Finisher, item_writer::Writer};
use super::{
    decide::portions,
    error::{LedgerError, Result},
    identity::random_identity,
    item_checks::{ItemChecks, JobGaps, StoredCheck},
    leadership::Leadership,
    operation,
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

/// The ledger in a SQLite database.
///
/// A verb waits until the queue of the writer has capacity, for at most the pool's
/// `connect_timeout`. If it is dropped before, it does not run at all. Once queued, it runs to
/// completion.
pub struct SqliteLedger {
    pool: SqlitePool,
    rules: Rules,
    finisher: Finisher,
    item_writer: Option<Arc<Writer>>,
}

impl SqliteLedger {
    /// A ledger in the database of `pool`, which has migrated the tables.
    #[must_use]
    pub const fn new(pool: SqlitePool, rules: Rules) -> Self {
        Self { pool, rules, finisher: Finisher { rules, hook: None }, item_writer: None }
    }

    /// Passes the rows of new items to `item_writer` as well.
    #[must_use]
    pub fn with_item_writer(self, item_writer: Arc<dyn ItemWriter>) -> Self {
        Self { item_writer: Some(Arc::new(Writer::new(item_writer))), ..self }
    }

    /// Calls `hook` in the transactions that finish batches, again after `backoff` when it fails.
    #[must_use]
    pub fn with_finish_hook(self, hook: Arc<dyn FinishHook>, backoff: Backoff) -> Self {
        Self { finisher: Finisher { hook: Some((hook, backoff)), ..self.finisher }, ..self }
    }

    /// Stores that the finish hook kept a batch from finishing.
    async fn delay_close(&self, batch: BatchId, round: u32, why: String) -> Result<Option<HookRetry>> {
        let finisher = self.finisher.clone();
        let work = move |conn: &mut _| finisher.delay_close(conn, batch, round, why);
        self.pool.write(operation::DELAY_CLOSE, work).await
    }
}

#[async_trait]
impl Records for SqliteLedger {
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord> {
        self.pool.read(operation::BATCH, move |conn| read::batch(conn, batch)).await
    }

    async fn batches(&self, status: Option<BatchStatus>, page: PageRequest) -> Result<Vec<BatchRecord>> {
        self.pool.read(operation::BATCHES, move |conn| read::batches(conn, status, page)).await
    }

    async fn changes(&self, query: ChangeQuery) -> Result<Vec<BatchChange>> {
        self.pool.read(operation::CHANGES, move |conn| changes::changes(conn, &query)).await
    }

    async fn items(&self, batch: BatchId, page: PageRequest) -> Result<Vec<Item>> {
        self.pool.read(operation::ITEMS, move |conn| read::items(conn, batch, page)).await
    }

    async fn identity(&self) -> Result<String> {
        let candidate = random_identity();
        self.pool.write(operation::IDENTITY, move |conn| identity::identity(conn, &candidate)).await
    }

    async fn open_hooks(&self, batch: BatchId) -> Result<u64> {
        self.pool.read(operation::OPEN_HOOKS, move |conn| open_hooks::open_hooks(conn, batch)).await
    }

    async fn backlog(&self, limit: u64) -> Result<Backlog> {
        self.pool.read(operation::BACKLOG, move |conn| summarize::backlog(conn, limit)).await
    }

    /// Counts on a reader, where it blocks no other verb, and stores the counts on the writer.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>> {
        const OPERATION: &str = operation::SUMMARIZE;
        let process = process.cast_signed();
        let open = self.pool.read_for_work(OPERATION, move |conn| summarize::to_count(conn, process, &work)).await?;
        let (portions, left) = portions(open);
        for work in portions {
            let counted = self.pool.read_for_work(OPERATION, move |conn| summarize::count(conn, &work)).await?;
            self.pool.write(OPERATION, move |conn| summarize::store(conn, process, &counted)).await?;
        }
        Ok(left)
    }
}

#[async_trait]
impl JobRecords for SqliteLedger {
    async fn jobs(&self, batch: BatchId, state: Option<JobState>, page: PageRequest) -> Result<Portion<JobRecord>> {
        self.pool.read(operation::JOBS, move |conn| jobs::jobs(conn, batch, state, page)).await
    }

    async fn failed_jobs(
        &self,
        batch: BatchId,
        group: Option<String>,
        page: PageRequest,
    ) -> Result<Portion<FailedJob>> {
        let read = move |conn: &mut _| failures::failed_jobs(conn, batch, group.as_deref(), page);
        self.pool.read(operation::FAILED_JOBS, read).await
    }

    async fn failure_groups(&self, batch: BatchId, page: PageRequest) -> Result<Portion<FailureGroup>> {
        self.pool.read(operation::FAILURE_GROUPS, move |conn| failures::failure_groups(conn, batch, page)).await
    }

    async fn job_map(&self, batch: BatchId) -> Result<JobMap> {
        self.pool.read(operation::JOB_MAP, move |conn| jobs::job_map(conn, batch)).await
    }
}

#[async_trait]
impl AuditRecords for SqliteLedger {
    async fn audit(&self, batch: BatchId, page: PageRequest) -> Result<Portion<AuditEntry>> {
        self.pool.read(operation::AUDIT, move |conn| audit::audit(conn, batch, page)).await
    }

    async fn audit_log(&self, filter: AuditFilter, page: PageRequest) -> Result<Portion<AuditEntry>> {
        self.pool.read(operation::AUDIT_LOG, move |conn| audit::audit_log(conn, &filter, page)).await
    }

    async fn prune_audit(&self, age: Duration, max: u64) -> Result<u64> {
        self.pool.write(operation::PRUNE_AUDIT, move |conn| audit::prune_audit(conn, age, max)).await
    }
}

#[async_trait]
impl WorkerRecords for SqliteLedger {
    async fn report_worker(&self, report: WorkerReport) -> Result<()> {
        self.pool.write(operation::REPORT_WORKER, move |conn| workers::report_worker(conn, &report)).await
    }

    async fn remove_worker(&self, process: ProcessId) -> Result<()> {
        self.pool.write(operation::REMOVE_WORKER, move |conn| workers::remove_worker(conn, process)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>> {
        self.pool.read(operation::WORKERS, |conn| workers::workers(conn)).await
    }

    async fn has_workers(&self, span: Duration) -> Result<bool> {
        self.pool.read(operation::HAS_WORKERS, move |conn| workers::has_workers(conn, span)).await
    }
}

#[async_trait]
impl Totals for SqliteLedger {
    async fn totals(&self) -> Result<TotalCounts> {
        self.pool.read(operation::TOTALS, |conn| totals::totals(conn)).await
    }
}

#[async_trait]
impl ItemChecks for SqliteLedger {
    async fn item_page(&self, batch: BatchId, from: u64, codes: bool) -> Result<ItemPage> {
        let read = move |conn: &mut _| item_checks::item_page(conn, batch, from, codes);
        self.pool.read_for_work(operation::ITEM_PAGE, read).await
    }

    async fn start_check(&self, batch: BatchId, codes: bool, max_age: Duration) -> Result<StoredCheck> {
        let work = move |conn: &mut _| item_checks::start_check(conn, batch, codes, max_age);
        self.pool.write(operation::START_CHECK, work).await
    }

    async fn stored_check(&self, batch: BatchId, codes: bool) -> Result<Option<StoredCheck>> {
        let read = move |conn: &mut _| item_checks::stored_check(conn, batch, codes);
        self.pool.read_for_work(operation::STORED_CHECK, read).await
    }

    async fn store_check(&self, check: &StoredCheck, from: u64) -> Result<bool> {
        let check = check.clone();
        self.pool.write(operation::STORE_CHECK, move |conn| item_checks::store_check(conn, &check, from)).await
    }

    async fn jobs_with_gaps(&self, batch: BatchId, from: u64) -> Result<JobGaps> {
        self.pool.read(operation::JOBS_WITH_GAPS, move |conn| repair::jobs_with_gaps(conn, batch, from)).await
    }

    async fn repair(&self, batch: BatchId, seqs: Vec<u64>, caller: &Caller) -> Result<RepairReport> {
        let caller = caller.clone();
        self.pool.write(operation::REPAIR, move |conn| repair::repair(conn, batch, &seqs, &caller)).await
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn create(&self, batch: NewBatch) -> Result<Created> {
        self.pool.write(operation::CREATE, move |conn| create::create(conn, &batch)).await
    }

    async fn plan(&self, batch: BatchId, input: std::result::Result<PlanInput, InvalidFields>) -> Result<Planned> {
        let finisher = self.finisher.clone();
        match self.pool.write(operation::PLAN, move |conn| plan::plan(conn, &finisher, batch, &input)).await {
            Err(LedgerError::HookFailed { why }) => {
                Ok(self.delay_close(batch, 0, why).await?.map_or(Planned::NothingToDo, Planned::HookFailed))
            }
            planned => planned,
        }
    }

    async fn claim(&self, delivery: Delivery) -> Result<Claimed> {
        let rules = self.rules;
        self.pool.write(operation::CLAIM, move |conn| claim::claim(conn, rules, delivery)).await
    }

    async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed> {
        if self.item_writer.is_some() {
            return self.claim(delivery).await;
        }
        let rules = self.rules;
        let work = move |conn: &mut _| claim::claim_and_insert(conn, rules, delivery, &chunk);
        self.pool.write(operation::CLAIM, work).await
    }

    async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted> {
        let (claim, item_writer) = (claim.clone(), self.item_writer.clone());
        self.pool
            .write(operation::INSERT_CHUNK, move |conn| {
                insert_chunk::insert_chunk(conn, &claim, &items, item_writer.as_deref())
            })
            .await
    }

    async fn finish_attempt(&self, claim: &Claim, result: AttemptResult, worked: Duration) -> Result<Finished> {
        let (rules, claim) = (self.rules, claim.clone());
        self.pool
            .write(operation::FINISH_ATTEMPT, move |conn| {
                finish_attempt::finish_attempt(conn, rules, &claim, &result, worked)
            })
            .await
    }

    async fn insert_and_complete(&self, claim: &Claim, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk> {
        if self.item_writer.is_some() {
            return Ok(LastChunk::Unchanged);
        }
        let (rules, claim) = (self.rules, claim.clone());
        let work = move |conn: &mut _| insert_chunk::insert_and_complete(conn, rules, &claim, &items, worked);
        self.pool.write(operation::INSERT_AND_COMPLETE, work).await
    }

    async fn batches_to_close(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>> {
        let (batches, max_delay) = (batches.to_vec(), self.finisher.max_delay());
        self.pool
            .read_for_work(operation::BATCHES_TO_CLOSE, move |conn| close::batches_to_close(conn, max_delay, &batches))
            .await
    }

    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed> {
        let finisher = self.finisher.clone();
        match self.pool.write(operation::CLOSE, move |conn| close::close(conn, &finisher, batch, round)).await {
            Err(LedgerError::HookFailed { why }) => {
                Ok(self.delay_close(batch, round, why).await?.map_or(Closed::NothingToDo, Closed::HookFailed))
            }
            closed => closed,
        }
    }

    async fn control(&self, batch: BatchId, command: BatchCommand, caller: &Caller) -> Result<BatchRecord> {
        let (finisher, caller) = (self.finisher.clone(), caller.clone());
        self.pool
            .write(operation::CONTROL, move |conn| control::control(conn, &finisher, batch, command, &caller))
            .await
    }

    async fn retry(&self, batch: BatchId, options: RetryOptions, caller: &Caller) -> Result<RetryReport> {
        let (rules, caller) = (self.rules, caller.clone());
        self.pool.write(operation::RETRY, move |conn| retry::retry(conn, rules, batch, &options, &caller)).await
    }

    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs> {
        let max_backoff = query.max_backoff;
        if self
            .pool
            .read_for_work("find delayed jobs", move |conn| feed::has_excessive_delay(conn, max_backoff))
            .await?
        {
            self.pool.write("shorten delays", move |conn| feed::cap_delays(conn, max_backoff)).await?;
        }
        self.pool.read_for_work(operation::OPEN_JOBS, move |conn| feed::open_jobs(conn, &query)).await
    }

    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks> {
        let max_delay = self.finisher.max_delay();
        self.pool.read_for_work(operation::OPEN_TASKS, move |conn| feed::open_tasks(conn, max_delay, query)).await
    }

    async fn hook(&self, hook: HookId) -> Result<Option<Hook>> {
        self.pool.read_for_work(operation::HOOK, move |conn| hooks::hook(conn, hook)).await
    }

    async fn record_hook_outcome(&self, hook: HookId, attempts: u32, outcome: HookOutcome) -> Result<()> {
        self.pool
            .write(operation::RECORD_HOOK_OUTCOME, move |conn| {
                hooks::record_hook_outcome(conn, hook, attempts, &outcome)
            })
            .await
    }

    async fn prune_history(&self, age: Duration, max: u64) -> Result<Pruned> {
        self.pool.write(operation::PRUNE_HISTORY, move |conn| prune_history::prune_history(conn, age, max)).await
    }

    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey> {
        self.pool.write(operation::CODE_KEY, move |conn| code_key::code_key(conn, &candidate)).await
    }

    async fn try_acquire_leadership(&self) -> Result<Option<Leadership>> {
        leadership::try_acquire(&self.pool).await
    }

    /// Queues with the writer, so it also fails while another process holds the lock.
    async fn ping(&self) -> Result<()> {
        self.pool.write(operation::PING, |conn| Ok(conn.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }

    async fn shutdown(&self) {
        self.pool.close().await;
    }
}
