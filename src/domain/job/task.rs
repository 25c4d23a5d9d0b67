//! What a queue delivers to a worker.

use std::fmt;

use super::id::JobId;
use crate::domain::batch::BatchId;

/// A task as a worker receives it from the queue. `T` is the task, or the job that it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery<T = JobId> {
    /// A task that the feeder enqueued.
    Enqueued {
        /// The task.
        task: T,
        /// Number of finished attempts that the queue has recorded. It grows only when a result is
        /// acknowledged.
        acknowledged: u32,
    },
    /// A task that another program added, with an id that the program chose. It refers to a job by
    /// batch and number, whatever its generation.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "only a shared queue has other clients"))]
    External {
        /// The batch.
        batch: BatchId,
        /// The number of the job within the batch.
        seq: u64,
    },
}

impl<T> Delivery<T> {
    /// Returns the number of finished attempts that the queue has recorded; `None` for an external
    /// delivery.
    #[must_use]
    pub const fn acknowledged(&self) -> Option<u32> {
        match self {
            Self::Enqueued { acknowledged, .. } => Some(*acknowledged),
            Self::External { .. } => None,
        }
    }
}

impl Delivery<JobId> {
    /// Returns the batch, and the number of the job within it.
    #[must_use]
    pub const fn batch_and_seq(&self) -> (BatchId, u64) {
        match self {
            Self::Enqueued { task, .. } => (task.batch, task.seq),
            Self::External { batch, seq } => (*batch, *seq),
        }
    }
}

/// Writes the id of an enqueued task, or the batch and number of an external job.
impl<T: fmt::Display> fmt::Display for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueued { task, .. } => task.fmt(f),
            Self::External { batch, seq } => write!(f, "b{batch}-j{seq}"),
        }
    }
}

/// Makes the first delivery of a job that the feeder enqueued.
impl From<JobId> for Delivery<JobId> {
    fn from(job: JobId) -> Self {
        Self::Enqueued { task: job, acknowledged: 0 }
    }
}

/// The id of a hook row in the ledger: one pending notification of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId(pub i64);

/// A unit of work in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Task {
    /// Generate the items of one job.
    Generate {
        /// The job.
        job: JobId,
        /// Its first ordinal.
        first: u64,
        /// Number of items.
        quantity: u64,
    },
    /// Close a batch, call a hook, or check items.
    Status(StatusTask),
}

/// A task of the status queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusTask {
    /// Close a batch whose jobs are all finished.
    Close {
        /// The batch.
        batch: BatchId,
        /// The `round` of the batch before this close: the number of times that it was closed.
        round: u32,
    },
    /// Call the host's hook.
    Hook {
        /// The batch of the event.
        batch: BatchId,
        /// The row with the event.
        hook: HookId,
    },
    /// Compare the items of a batch with its plan.
    Reconcile {
        /// The batch.
        batch: BatchId,
        /// Whether to check the codes.
        codes: bool,
        /// The number of the check, among those of the batch with the same `codes`.
        run: u32,
    },
}

impl Task {
    /// Returns the batch that the task belongs to.
    #[must_use]
    pub const fn batch(&self) -> BatchId {
        match self {
            Self::Generate { job, .. } => job.batch,
            Self::Status(
                StatusTask::Close { batch, .. } | StatusTask::Hook { batch, .. } | StatusTask::Reconcile { batch, .. },
            ) => *batch,
        }
    }
}

/// Writes the id of the task in the queue. Equal tasks have equal ids, so offering a task twice
/// adds it once.
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generate { job, .. } => job.fmt(f),
            Self::Status(StatusTask::Close { batch, round }) => write!(f, "b{batch}-end-r{round}"),
            Self::Status(StatusTask::Hook { batch, hook }) => write!(f, "b{batch}-hook-h{}", hook.0),
            Self::Status(StatusTask::Reconcile { batch, codes, run }) => {
                write!(f, "b{batch}-{}-r{run}", if *codes { "codes" } else { "items" })
            }
        }
    }
}
