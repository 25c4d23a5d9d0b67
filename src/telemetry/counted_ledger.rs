//! Counts what the verbs of a ledger return.
//!
//! A verb that did not answer is counted by the call that repeats it, so a lost answer is not
//! counted twice. What a process did before it was killed is lost with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use metrics::{SharedString, counter, histogram};

use super::events;
use crate::{
    domain::{
        AuditEntry, BatchId, BatchRecord, BatchStatus, Caller, CodeKey, Delivery, FailedJob, FailureGroup, HookId,
        InvalidFields, Item, ItemPage, JobMap, JobRecord, JobState, ProcessId, RepairReport, RetryOptions, RetryReport,
        StatusTask, WorkerRecord,
    },
    ledger::{
        AttemptResult, AuditFilter, AuditRecords, Backlog, BatchChange, BatchCommand, ChangeQuery, ChunkInserted,
        Claim, Claimed, Closed, Created, Finished, FirstChunk, Hook, HookOutcome, ItemChecks, JobGaps, JobQuery,
        JobRecords, LastChunk, Leadership, Ledger, LedgerError, NewBatch, NewItem, OpenJobs, OpenTasks, PageRequest,
        PlanInput, Planned, Portion, Pruned, RecentWork, Records, Result, StoredCheck, TaskQuery, TotalCounts, Totals,
        WorkerRecords, WorkerReport,
    },
};

/// A ledger whose verbs are counted.
pub(crate) struct CountedLedger {
    inner: Arc<dyn Ledger>,
    /// The label of jobs: the name of their queue.
    queue: SharedString,
    /// Whether the last verb found the database unavailable.
    is_away: AtomicBool,
}

impl CountedLedger {
    /// Counts the verbs of `inner`, whose jobs are in the queue called `queue`.
    pub fn new(inner: Arc<dyn Ledger>, queue: &str) -> Self {
        Self { inner, queue: Arc::<str>::from(queue).into(), is_away: AtomicBool::new(false) }
    }

    /// Notices when the database answers again.
    fn answered<T>(&self, result: Result<T>) -> Result<T> {
        match &result {
            Err(LedgerError::Unavailable { .. }) => self.is_away.store(true, Relaxed),
            _ if self.is_away.load(Relaxed) && self.is_away.swap(false, Relaxed) => events::reconnected("database"),
            _ => {}
        }
        result
    }

    fn jobs_ended(&self, outcome: &'static str, jobs: u64) {
        counter!("rocket_batch_jobs_total", "queue" => self.queue.clone(), "outcome" => outcome).increment(jobs);
    }

    fn claimed(&self, claimed: &Claimed, started: Instant) {
        match claimed {
            Claimed::Work(work) => {
                if work.crashed {
                    counter!("rocket_batch_crashes_total").increment(1);
                }
                if work.inserted > 0 {
                    chunk_inserted(work.inserted, started);
                }
            }
            Claimed::Poisoned(_) => {
                counter!("rocket_batch_crashes_total").increment(1);
                self.jobs_ended("failed", 1);
            }
            Claimed::NothingToDo | Claimed::Failed(_) | Claimed::Busy | Claimed::Paused | Claimed::Unknown => {}
        }
    }

    fn attempt_ended(&self, result: &AttemptResult) {
        let outcome = match result {
            AttemptResult::Completed => "completed",
            AttemptResult::Delayed { .. } => "retried",
            AttemptResult::Failed(_) => "failed",
            AttemptResult::Released => "released",
        };
        self.jobs_ended(outcome, 1);
    }
}

fn chunk_inserted(items: u64, started: Instant) {
    counter!("rocket_batch_items_total").increment(items);
    histogram!("rocket_batch_chunk_duration_seconds").record(started.elapsed());
}

/// Implements a trait: the verbs in braces as written, the others by passing them on.
macro_rules! counted {
    (
        $trait:ident { $($counted:tt)* }
        $(fn $verb:ident($($argument:ident: $input:ty),*) -> $output:ty;)*
    ) => {
        #[async_trait]
        impl $trait for CountedLedger {
            $($counted)*

            $(async fn $verb(&self, $($argument: $input),*) -> Result<$output> {
                self.answered(self.inner.$verb($($argument),*).await)
            })*
        }
    };
}

counted! {
    Records {}
    fn batch(batch: BatchId) -> BatchRecord;
    fn batches(status: Option<BatchStatus>, page: PageRequest) -> Vec<BatchRecord>;
    fn changes(query: ChangeQuery) -> Vec<BatchChange>;
    fn items(batch: BatchId, page: PageRequest) -> Vec<Item>;
    fn identity() -> String;
    fn open_hooks(batch: BatchId) -> u64;
    fn backlog(limit: u64) -> Backlog;
    fn summarize(process: u64, work: Vec<RecentWork>) -> Vec<BatchId>;
}

counted! {
    JobRecords {}
    fn jobs(batch: BatchId, state: Option<JobState>, page: PageRequest) -> Portion<JobRecord>;
    fn failed_jobs(batch: BatchId, group: Option<String>, page: PageRequest) -> Portion<FailedJob>;
    fn failure_groups(batch: BatchId, page: PageRequest) -> Portion<FailureGroup>;
    fn job_map(batch: BatchId) -> JobMap;
}

counted! {
    AuditRecords {}
    fn audit(batch: BatchId, page: PageRequest) -> Portion<AuditEntry>;
    fn audit_log(filter: AuditFilter, page: PageRequest) -> Portion<AuditEntry>;
    fn prune_audit(age: Duration, max: u64) -> u64;
}

counted! {
    WorkerRecords {}
    fn report_worker(report: WorkerReport) -> ();
    fn remove_worker(process: ProcessId) -> ();
    fn workers() -> Vec<WorkerRecord>;
    fn has_workers(span: Duration) -> bool;
}

counted! {
    ItemChecks {}
    fn item_page(batch: BatchId, from: u64, codes: bool) -> ItemPage;
    fn start_check(batch: BatchId, codes: bool, max_age: Duration) -> StoredCheck;
    fn stored_check(batch: BatchId, codes: bool) -> Option<StoredCheck>;
    fn store_check(check: &StoredCheck, from: u64) -> bool;
    fn jobs_with_gaps(batch: BatchId, from: u64) -> JobGaps;
    fn repair(batch: BatchId, seqs: Vec<u64>, caller: &Caller) -> RepairReport;
}

counted! {
    Totals {}
    fn totals() -> TotalCounts;
}

counted! {
    Ledger {
        async fn claim(&self, delivery: Delivery) -> Result<Claimed> {
            let started = Instant::now();
            let claimed = self.answered(self.inner.claim(delivery).await)?;
            self.claimed(&claimed, started);
            Ok(claimed)
        }

        async fn claim_and_insert(&self, delivery: Delivery, chunk: FirstChunk) -> Result<Claimed> {
            let started = Instant::now();
            let claimed = self.answered(self.inner.claim_and_insert(delivery, chunk).await)?;
            self.claimed(&claimed, started);
            Ok(claimed)
        }

        async fn insert_chunk(&self, claim: &Claim, items: Arc<[NewItem]>) -> Result<ChunkInserted> {
            let started = Instant::now();
            let inserted = self.answered(self.inner.insert_chunk(claim, items).await)?;
            match inserted {
                ChunkInserted::New(items) => chunk_inserted(items, started),
                ChunkInserted::Fenced => counter!("rocket_batch_fenced_writes_total").increment(1),
                ChunkInserted::Cancelled | ChunkInserted::Paused => {}
            }
            Ok(inserted)
        }

        async fn insert_and_complete(
            &self,
            claim: &Claim,
            items: Arc<[NewItem]>,
            worked: Duration,
        ) -> Result<LastChunk> {
            let (started, new) = (Instant::now(), items.len() as u64);
            let inserted = self.answered(self.inner.insert_and_complete(claim, items, worked).await)?;
            match inserted {
                LastChunk::Completed => {
                    chunk_inserted(new, started);
                    self.attempt_ended(&AttemptResult::Completed);
                }
                // `insert_chunk` follows and says why.
                LastChunk::Unchanged => {}
            }
            Ok(inserted)
        }

        async fn finish_attempt(&self, claim: &Claim, result: AttemptResult, worked: Duration) -> Result<Finished> {
            let finished = self.answered(self.inner.finish_attempt(claim, result.clone(), worked).await)?;
            match finished {
                Finished::Recorded => self.attempt_ended(&result),
                // The job was claimed again, or its batch was cancelled: `control` counts that.
                Finished::Fenced => {}
            }
            Ok(finished)
        }

        async fn control(&self, batch: BatchId, command: BatchCommand, caller: &Caller) -> Result<BatchRecord> {
            let record = self.answered(self.inner.control(batch, command, caller).await)?;
            match command {
                BatchCommand::Cancel => self.jobs_ended("cancelled", record.jobs.cancelled),
                BatchCommand::Pause | BatchCommand::Resume => {}
            }
            Ok(record)
        }

        async fn retry(&self, batch: BatchId, options: RetryOptions, caller: &Caller) -> Result<RetryReport> {
            let limit = options.limit.unwrap_or(u64::MAX);
            let report = self.answered(self.inner.retry(batch, options, caller).await)?;
            if !report.dry_run {
                // All items of the others existed.
                self.jobs_ended("completed", report.found.min(limit).saturating_sub(report.recreated));
            }
            Ok(report)
        }

        async fn shutdown(&self) {
            self.inner.shutdown().await;
        }
    }
    fn create(batch: NewBatch) -> Created;
    fn plan(batch: BatchId, input: std::result::Result<PlanInput, InvalidFields>) -> Planned;
    fn batches_to_close(batches: &[BatchId]) -> Vec<StatusTask>;
    fn close(batch: BatchId, round: u32) -> Closed;
    fn open_jobs(query: JobQuery) -> OpenJobs;
    fn open_tasks(query: TaskQuery) -> OpenTasks;
    fn hook(hook: HookId) -> Option<Hook>;
    fn record_hook_outcome(hook: HookId, attempts: u32, outcome: HookOutcome) -> ();
    fn prune_history(age: Duration, max: u64) -> Pruned;
    fn code_key(candidate: CodeKey) -> CodeKey;
    fn try_acquire_leadership() -> Option<Leadership>;
    fn ping() -> ();
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;
