//! The contract that every database implements: [`Records`] and [`JobRecords`] read, [`Ledger`]
//! changes. [`AuditRecords`] reads who changed what, and
//! [`WorkerRecords`] keeps the table of processes.

mod audit;
mod workers;

mod totals;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub(in crate::ledger) use self::workers::{FORGOTTEN, FORGOTTEN_ROWS, LISTED, LISTED_WORKERS};
pub use self::{
    audit::AuditRecords,
    totals::Totals,
    workers::{WorkerRecords, WorkerReport},
};
use super::{
    error::Result,
    item_checks::ItemChecks,
    leadership::Leadership,
    query::{
        Backlog, BatchChange, ChangeQuery, JobQuery, OpenJobs, OpenTasks, PageRequest, Portion, RecentWork, TaskQuery,
    },
    types::{
        AttemptResult, BatchCommand, ChunkInserted, Claim, Claimed, Closed, Created, Finished, FirstChunk, Hook,
        HookOutcome, LastChunk, NewBatch, NewItem, PlanInput, Planned, Pruned,
    },
};
use crate::domain::{
    BatchId, BatchRecord, BatchStatus, Caller, CodeKey, Delivery, FailedJob, FailureGroup, HookId, InvalidFields, Item,
    JobMap, JobRecord, JobState, RetryOptions, RetryReport, StatusTask,
};

/// Reads the ledger's identity, batches and items, and keeps the counts that make lists
/// cheap.
#[async_trait]
pub trait Records: Send + Sync {
    /// Returns one batch.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch).
    async fn batch(&self, batch: BatchId) -> Result<BatchRecord>;

    /// Lists batches by id, the highest first, optionally of one status. The key of a page is the
    /// id.
    ///
    /// The counts of an open batch come from its [summary](Records::summarize), so a page costs the
    /// same however many jobs there are.
    async fn batches(&self, status: Option<BatchStatus>, page: PageRequest) -> Result<Vec<BatchRecord>>;

    /// Returns the batches of `query` whose version differs from the known one, with the counts
    /// that [`Records::batches`] shows. Costs the same however many jobs they have.
    ///
    /// A version never decreases, and a batch read with a later version has at least as many items
    /// and completed jobs. Batches that do not exist are left out.
    async fn changes(&self, query: ChangeQuery) -> Result<Vec<BatchChange>>;

    /// Lists the items of a batch by ordinal, which is the key of a page.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch).
    async fn items(&self, batch: BatchId, page: PageRequest) -> Result<Vec<Item>>;

    /// Returns the identity of this ledger: a random text that is stored at the first call, and
    /// that no other ledger has. Only a copy of the database has the same one.
    async fn identity(&self) -> Result<String>;

    /// Returns how many hooks of a batch wait for a call: neither delivered nor given up. 0 for an
    /// unknown batch.
    async fn open_hooks(&self, batch: BatchId) -> Result<u64>;

    /// Returns the remaining work of at most `limit` batches, and the measured speed.
    async fn backlog(&self, limit: u64) -> Result<Backlog>;

    /// Counts the jobs of open batches for [`Records::batches`], and records what `process` did in
    /// them.
    ///
    /// Returns the batches to count again later: another process counted them less than
    /// [`COUNT_INTERVAL`](super::COUNT_INTERVAL) ago, possibly before their last change. Finished
    /// batches are neither counted nor returned.
    async fn summarize(&self, process: u64, work: Vec<RecentWork>) -> Result<Vec<BatchId>>;
}

/// Reads the jobs of a batch: which there are, and why some failed.
#[async_trait]
pub trait JobRecords: Send + Sync {
    /// Lists the jobs of a batch by number, which is the key of a page, optionally of one state.
    ///
    /// A page that lists one state looks at a bounded number of jobs, and may have fewer rows than
    /// its limit although more follow: [`Portion::looked_to`](super::Portion::looked_to).
    ///
    /// # Errors
    ///
    /// As for [`JobRecords::failed_jobs`].
    async fn jobs(&self, batch: BatchId, state: Option<JobState>, page: PageRequest) -> Result<Portion<JobRecord>>;

    /// Lists the failed jobs of a batch by number, which is the key of a page, optionally those of
    /// one group of errors. Reads no more rows than fit into the page, and those of other groups.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch), and
    /// [`LedgerError::HistoryRemoved`](super::LedgerError::HistoryRemoved) if its jobs were pruned.
    async fn failed_jobs(&self, batch: BatchId, group: Option<String>, page: PageRequest)
    -> Result<Portion<FailedJob>>;

    /// Groups the failed jobs of a batch by their errors, the largest group first. The key of a
    /// page is the number of groups before its end, so if jobs fail or are retried between two
    /// pages, a group may appear twice or be missing.
    ///
    /// # Errors
    ///
    /// As for [`JobRecords::failed_jobs`].
    async fn failure_groups(&self, batch: BatchId, page: PageRequest) -> Result<Portion<FailureGroup>>;

    /// Returns the states of the jobs of a batch, in at most 1,000 cells.
    ///
    /// # Errors
    ///
    /// As for [`JobRecords::failed_jobs`].
    async fn job_map(&self, batch: BatchId) -> Result<JobMap>;
}

/// Changes the tables of batches, jobs, items and hooks.
///
/// Cancel safe: a verb is atomic, and once started it runs to completion even if its future is
/// dropped. Repeat the call to find out the result. In SQLite a verb starts when it gets a place in
/// the writer's queue, or a free reader; dropped before, it never runs. [`Ledger::open_jobs`] and
/// [`Records::summarize`] are several calls of the database. Dropped between two of them, they
/// leave the rest to the next call.
///
/// Every verb may return [`LedgerError::Unavailable`](super::LedgerError::Unavailable). Whether it
/// took effect is then unknown, and repeating it is safe, except for [`Ledger::create`] without an
/// id and without a request.
#[async_trait]
pub trait Ledger: Records + JobRecords + AuditRecords + WorkerRecords + Totals + ItemChecks {
    /// Inserts a batch, its jobs and its entry in the audit in one transaction.
    ///
    /// A request whose key is still remembered gets its first result again, whatever has changed
    /// since, and nothing is inserted. Of concurrent calls with one key, one creates the batch. An
    /// expired key is released in the same transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError::KeyReused`](super::LedgerError::KeyReused) if the key is remembered for
    /// another request; otherwise [`LedgerError::IdInUse`](super::LedgerError::IdInUse) if the id
    /// is in use.
    async fn create(&self, batch: NewBatch) -> Result<Created>;

    /// Inserts the jobs of an unplanned batch. If it can't be planned, fails the batch with the
    /// reason, writes its hook row and calls the finish hook, as [`Ledger::close`] does. A paused
    /// batch stays paused.
    async fn plan(&self, batch: BatchId, input: std::result::Result<PlanInput, InvalidFields>) -> Result<Planned>;

    /// Claims a job for one attempt and fences every earlier claim.
    ///
    /// Raises the job's epoch; from here on only writes with the returned [`Claim`] count. If the
    /// previous claim was neither finished nor released, that counts as a crash. The first claim
    /// sets the batch running.
    ///
    /// A failed job that was [retried manually](crate::domain::is_manual_retry) is revived: it
    /// keeps its generation and its attempts, and its batch runs again as after a retry. That is an
    /// entry in the audit, of an unknown caller. Jobs of a
    /// cancelled batch are not revived. An external delivery claims waiting jobs only, so it fences
    /// no worker. Claiming a job from an external delivery counts no crash.
    async fn claim(&self, delivery: Delivery) -> Result<Claimed>;

    /// Claims a job and inserts the items of `chunk`, in one transaction.
    ///
    /// Does so if the job has no items, its batch is running, and both match the chunk. The
    /// returned missing ordinals exclude the inserted ones. Otherwise, and with an item writer,
    /// this is [`Ledger::claim`]: an item writer that ends the process must be counted as a crash.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Rejected`](super::LedgerError::Rejected) if the database rejected the rows.
    /// The job is not claimed then.
    async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed>;

    /// Inserts the missing ones of `items` if the claim is current, adds them to the job's count,
    /// and calls the host's item writer with the new rows, in one transaction.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Rejected`](super::LedgerError::Rejected) if the database or the item writer
    /// rejected the rows. None of them was inserted then.
    async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted>;

    /// Inserts `items`, the last ones of a job, and completes the job after `worked`, in one
    /// transaction.
    ///
    /// Does so if the claim is current, all other items exist and none of these does. With an item
    /// writer it does nothing.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::insert_chunk`].
    async fn insert_and_complete(&self, claim: &Claim, items: Arc<[NewItem]>, worked: Duration) -> Result<LastChunk>;

    /// Records the result of an attempt, after `worked`, if the claim is current. Repeating the
    /// call returns the same.
    ///
    /// After finishing jobs, call [`Ledger::batches_to_close`], soon but not after each job.
    async fn finish_attempt(&self, claim: &Claim, result: AttemptResult, worked: Duration) -> Result<Finished>;

    /// Returns the closing tasks of those `batches` that were started and have no open job. A
    /// closed batch has none, and neither has one whose finish hook is called again later.
    ///
    /// Sees every result recorded before the call. So when two workers finish the last two jobs at
    /// once and then call this, at least one of them finds the batch.
    async fn batches_to_close(&self, batches: &[BatchId]) -> Result<Vec<StatusTask>>;

    /// Closes a batch without open jobs, if it was closed `round` times before, writes its hook
    /// row, and calls the host's finish hook, in one transaction.
    ///
    /// If the finish hook fails, the batch stays as it was. Another transaction stores when the
    /// hook is called again. Until then, this does nothing and [`Ledger::batches_to_close`] leaves
    /// the batch out.
    async fn close(&self, batch: BatchId, round: u32) -> Result<Closed>;

    /// Cancels, pauses or resumes a batch and returns its new state. The same transaction inserts
    /// an entry of `caller` into the audit.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch), and
    /// [`LedgerError::NotAllowed`](super::LedgerError::NotAllowed) if its status does not allow the
    /// command, and [`LedgerError::HookFailed`](super::LedgerError::HookFailed) if the finish hook
    /// failed. Nothing is changed then.
    async fn control(&self, batch: BatchId, command: BatchCommand, caller: &Caller) -> Result<BatchRecord>;

    /// Recreates the selected failed jobs of a batch as a new generation with fresh attempts.
    ///
    /// A failed job whose items all exist is completed instead and reported as skipped. Nothing
    /// changes without failed jobs in the selection, and in a dry run. Otherwise the same
    /// transaction inserts an entry of `caller` into the audit.
    ///
    /// # Errors
    ///
    /// As for [`Ledger::control`], and
    /// [`LedgerError::HistoryRemoved`](super::LedgerError::HistoryRemoved) if its jobs were pruned.
    async fn retry(&self, batch: BatchId, options: RetryOptions, caller: &Caller) -> Result<RetryReport>;

    /// Returns the jobs to put into the queue: the first open jobs of each batch in the window, as
    /// many as its share of the capacity, and delayed jobs that are due.
    async fn open_jobs(&self, query: JobQuery) -> Result<OpenJobs>;

    /// Returns the hooks to call and, for [`TaskQuery::All`], the batches to plan, to count and to
    /// close.
    async fn open_tasks(&self, query: TaskQuery) -> Result<OpenTasks>;

    /// Returns a hook to call; `None` if it was delivered or given up.
    async fn hook(&self, hook: HookId) -> Result<Option<Hook>>;

    /// Records the outcome of calling a hook that [`Ledger::hook`] returned with this number of
    /// failed `attempts`.
    ///
    /// A failure counts only while the hook still has this number, so one call is never counted
    /// twice. A delivery always counts.
    async fn record_hook_outcome(&self, hook: HookId, attempts: u32, outcome: HookOutcome) -> Result<()>;

    /// Removes the history of batches that finished at least `age` ago, the oldest first: the rows
    /// of their jobs and of hooks that were given up. Items, open hooks and the batch's own row
    /// stay.
    ///
    /// Removes at most `max` rows per call, of at most as many batches. A batch is marked with its
    /// first removed row, so a partial history is never mistaken for a complete one. Of a
    /// concurrent retry and removal, one wins. Concurrent calls share the work.
    async fn prune_history(&self, age: Duration, max: u64) -> Result<Pruned>;

    /// Returns the stored code key, after storing `candidate` if there is none.
    async fn code_key(&self, candidate: CodeKey) -> Result<CodeKey>;

    /// Acquires the leadership, unless another process has it.
    async fn try_acquire_leadership(&self) -> Result<Option<Leadership>>;

    /// Makes a round trip to the database.
    async fn ping(&self) -> Result<()>;

    /// Completes running verbs and disconnects from the database. Every later verb returns
    /// [`LedgerError::Unavailable`](super::LedgerError::Unavailable).
    async fn shutdown(&self);
}
