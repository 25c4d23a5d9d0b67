//! The values that the verbs which change a ledger take and return.

use std::{ops::Range, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::domain::{
    BatchId, BatchRecord, Caller, CreateRequest, Failure, HookEvent, ItemOptions, JobId, Plan, TraceParent,
};

/// The rules of a ledger, set when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The number of crashes that are tolerated without a new item. The next one fails the job.
    pub max_crashes: u32,
    /// Which events get a hook row.
    pub hooks: HookKinds,
}

/// The events that the host has hooks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HookKinds {
    /// A batch finished.
    pub batch_finished: bool,
    /// A job failed permanently.
    pub job_failed: bool,
    /// A job was completed.
    pub job_completed: bool,
}

impl HookKinds {
    /// Whether the host has a hook for the end of a job.
    pub(in crate::ledger) const fn has_job_hook(self) -> bool {
        self.job_failed || self.job_completed
    }
}

/// A batch to create.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// The id, if the host chose one; otherwise the next free id is used.
    pub id: Option<BatchId>,
    /// Its division into jobs.
    pub plan: Plan,
    /// The options of its items.
    pub options: ItemOptions,
    /// The fingerprint of the key that makes its codes.
    pub key_fingerprint: String,
    /// The estimated duration, see [`Estimator`](super::Estimator).
    pub estimated: Duration,
    /// The request that creates it, if the request is idempotent.
    pub request: Option<CreateRequest>,
    /// Who asks for it.
    pub caller: Caller,
}

/// A batch that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The id of the batch.
    pub batch: BatchId,
    /// The number of items.
    pub quantity: u64,
    /// The number of jobs.
    pub jobs: u64,
    /// The estimated duration at the time of creation.
    pub estimated: Duration,
    /// Whether an earlier call with the same request created it.
    pub repeated: bool,
}

/// A batch that another transaction requested in the database itself. It has no jobs yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplanned {
    /// The id of the batch.
    pub batch: BatchId,
    /// The number of items.
    pub quantity: u64,
    /// The options of its items.
    pub options: ItemOptions,
}

/// The plan of a batch that has no jobs yet.
#[derive(Debug, Clone)]
pub struct PlanInput {
    /// Its division into jobs.
    pub plan: Plan,
    /// The fingerprint of the key that makes its codes.
    pub key_fingerprint: String,
    /// The estimated duration, see [`Estimator`](super::Estimator).
    pub estimated: Duration,
}

/// The result of [`Ledger::plan`](super::Ledger::plan).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// This call planned the batch, or failed it if it could not be planned.
    Now,
    /// The batch was planned, failed or cancelled before. Nothing changed.
    NothingToDo,
    /// The batch can't be planned, and the host's finish hook kept it from failing.
    HookFailed(HookRetry),
}

/// The right to write for one job, until the job is claimed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a dropped claim leaves the job active until it is claimed again"]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// The number of times that the job has been claimed, including this claim.
    pub epoch: u32,
}

/// The result of [`Ledger::claim`](super::Ledger::claim).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The job is claimed: work it.
    Work(Work),
    /// The job was completed, cancelled or recreated before: acknowledge it and do nothing.
    NothingToDo,
    /// The job failed before, for this reason, and was not retried manually.
    Failed(String),
    /// The job is already active or delayed; the external request is ignored.
    Busy,
    /// The batch is paused: discard the task. The job is offered again after a resume.
    Paused,
    /// The job's workers crashed too often, and this call failed the job.
    Poisoned(Failure),
    /// The job does not exist.
    Unknown,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The right to write.
    pub claim: Claim,
    /// The ordinals of the job.
    pub range: Range<u64>,
    /// The ordinals without an item, as ascending ranges that do not touch.
    pub missing: Vec<Range<u64>>,
    /// Items that [`Ledger::claim_and_insert`](super::Ledger::claim_and_insert) inserted with the
    /// claim. 0 if that was done by an earlier try of the same call, whose response was lost.
    pub inserted: u64,
    /// Whether this claim counted a crash: the worker of the claim before was lost.
    pub crashed: bool,
    /// The number of failed attempts before this one.
    pub attempts_made: u32,
    /// The number of jobs of the batch.
    pub jobs_in_batch: u64,
    /// The prefix of the codes.
    pub prefix: Option<String>,
    /// The fingerprint of the key that made the other codes of the batch.
    pub key_fingerprint: String,
    /// Where the request that created the batch stands in a distributed trace.
    pub trace: Option<TraceParent>,
}

/// An item to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its position in the batch, from 0.
    pub ordinal: u64,
    /// Its code.
    pub code: String,
}

/// The first items of a job, made before the job was claimed.
#[derive(Debug, Clone)]
pub struct FirstChunk {
    /// The ordinals of the whole job.
    pub range: Range<u64>,
    /// The prefix of the batch's codes.
    pub prefix: Option<String>,
    /// The fingerprint of the key that made the codes.
    pub key_fingerprint: String,
    /// The first items of the job, without a gap.
    pub items: Arc<[NewItem]>,
}

impl FirstChunk {
    /// Whether `items` are the first items of the job, without a gap.
    pub(super) fn is_prefix_of_job(&self) -> bool {
        let ordinals = self.items.iter().map(|item| item.ordinal);
        !self.items.is_empty() && ordinals.eq(self.range.clone().take(self.items.len()))
    }
}

/// An item that was just inserted, as a host's item writer receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewItemRow<'a> {
    /// The batch of the item.
    pub batch_id: BatchId,
    /// Its position in the batch, from 0.
    pub ordinal: u64,
    /// Its code.
    pub code: &'a str,
}

/// The batch of new items, as a host's item writer receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchInfo {
    /// The id of the batch.
    pub batch_id: BatchId,
    /// The number of requested items.
    pub quantity: u64,
    /// The options of the items.
    pub options: ItemOptions,
}

/// The result of [`Ledger::insert_chunk`](super::Ledger::insert_chunk).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkInserted {
    /// All items exist; this many are new.
    New(u64),
    /// The job was claimed again. Nothing was inserted.
    Fenced,
    /// The batch was cancelled. Nothing was inserted.
    Cancelled,
    /// The batch is paused. Nothing was inserted.
    Paused,
}

/// The recorded result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptResult {
    /// All items exist.
    Completed,
    /// The attempt failed, and another one follows.
    Delayed {
        /// Why it failed.
        failure: Failure,
        /// How long to wait before the next attempt, by the clock of the database.
        delay: Duration,
    },
    /// The attempt failed, and it was the last one.
    Failed(Failure),
    /// The job was returned unfinished. Neither an attempt nor a crash is counted.
    Released,
}

/// The result of [`Ledger::finish_attempt`](super::Ledger::finish_attempt).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The result is recorded, by this call or by an earlier one with the same claim.
    Recorded,
    /// The claim is no longer current. Nothing changed.
    Fenced,
}

/// The result of [`Ledger::insert_and_complete`](super::Ledger::insert_and_complete).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastChunk {
    /// The items exist and the job is completed, by this call or by an earlier one with the same
    /// claim.
    Completed,
    /// Nothing changed, because a precondition does not hold.
    /// [`Ledger::insert_chunk`](super::Ledger::insert_chunk) and
    /// [`Ledger::finish_attempt`](super::Ledger::finish_attempt) handle that case.
    Unchanged,
}

/// The result of [`Ledger::close`](super::Ledger::close).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// This call finished the batch.
    Now(Box<BatchRecord>),
    /// The batch was closed before, has open jobs again, or has to wait until its finish hook is
    /// called again.
    NothingToDo,
    /// The host's finish hook kept the batch from finishing.
    HookFailed(HookRetry),
}

/// A failed call of a finish hook, after which the batch is as before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRetry {
    /// The host's error, truncated to 1 KiB.
    pub error: String,
    /// The number of failed calls for this end of the batch.
    pub tries: u32,
    /// How long to wait before the next call, by the clock of the database.
    pub delay: Duration,
}

/// A change of a whole batch that a caller requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchCommand {
    /// Finish it now, with what exists.
    Cancel,
    /// Stop working on it.
    Pause,
    /// Work on it again.
    Resume,
}

/// An event to report to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// What happened.
    pub event: HookEvent,
    /// The number of failed calls.
    pub attempts: u32,
    /// Where the request that created the batch stands in a distributed trace.
    pub trace: Option<TraceParent>,
}

/// The outcome of calling a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookOutcome {
    /// The call succeeded.
    Delivered,
    /// The call failed, and another one follows.
    RetryLater {
        /// The host's error.
        error: String,
        /// The earliest time of the next call.
        not_before: DateTime<Utc>,
    },
    /// The call failed, and it was the last one. The row is kept with its error.
    GivenUp {
        /// The host's error.
        error: String,
    },
}

impl HookOutcome {
    /// Returns the word for this outcome in metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::RetryLater { .. } => "failed",
            Self::GivenUp { .. } => "given_up",
        }
    }
}

/// The rows that [`Ledger::prune_history`](super::Ledger::prune_history) removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Batches whose rows are all removed.
    pub batches: u64,
    /// Rows of jobs.
    pub jobs: u64,
    /// Rows of hooks that were given up.
    pub hooks: u64,
    /// Whether there may be more rows to remove.
    pub has_more: bool,
}

impl Pruned {
    /// The sum of this and the later result `more`.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self {
            batches: self.batches + more.batches,
            jobs: self.jobs + more.jobs,
            hooks: self.hooks + more.hooks,
            has_more: more.has_more,
        }
    }
}
