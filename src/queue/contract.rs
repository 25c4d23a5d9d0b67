//! The contract between the rest of the crate and a queue.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::domain::{BatchId, Delivery, Task};

/// The result of a queue operation.
pub type Result<T> = std::result::Result<T, QueueError>;

/// Why a queue operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "only Redis can fail"))]
pub enum QueueError {
    /// The queue can't be reached. Try again later; the feeder repeats what was missed.
    #[error("the queue {queue} did not respond")]
    Unavailable {
        /// The queue's name.
        queue: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The queue's keys belong to another ledger. Use another prefix, see
    /// [`RedisSettings::prefix`](crate::config::RedisSettings::prefix).
    #[error("the queue {queue} belongs to another ledger")]
    OtherLedger {
        /// The queue's name.
        queue: String,
    },

    /// The queue's user lacks a permission. Grant it and start again.
    #[error("the Redis user of the queue {queue} lacks permissions")]
    Forbidden {
        /// The queue's name.
        queue: String,
        /// The missing permissions.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A task to put into a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The task; its `Display` output is its id in the queue.
    pub task: Task,
    /// The position among the tasks of its batch, from 0. The queue derives the priority from it,
    /// see [`fair_priority`](crate::domain::fair_priority).
    pub rank: u64,
    /// How long to wait before the task may start.
    pub delay: Duration,
    /// Failed attempts so far, as the ledger counts them.
    pub attempts_made: u32,
}

/// What the queue does with a task after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The attempt succeeded; complete the task.
    Ack,
    /// The attempt failed; retry after the queue's backoff, as long as attempts are left. The text
    /// is the reason, shown by queue tools.
    Retry(String),
    /// The task failed permanently; do not retry it. The text is the reason, shown by queue tools.
    Fail(String),
    /// The task was not run; deliver it again without spending an attempt.
    Release,
    /// The task was not run and must not be; remove it.
    Discard,
}

/// Runs tasks.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Runs one task. A panic counts as [`Disposition::Retry`]. Progress for display goes to
    /// `progress`.
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition;

    /// Called before [`Handler::handle`] with how long the task could have started, where the queue
    /// can tell. Does nothing by default.
    fn waited(&self, _waited: Duration) {}
}

/// Progress of an attempt, shown by tools that display the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressUpdate {
    /// The finished share of the task, 0 to 100; `None` keeps the last value.
    pub percent: Option<u8>,
    /// A line for the task's log.
    pub line: String,
}

/// Receives the progress of one attempt.
pub trait ProgressSink: Send + Sync {
    /// Accepts an update and returns at once. Updates may be lost, so nothing may depend on one.
    fn report(&self, update: ProgressUpdate);
}

/// Discards every update.
impl ProgressSink for () {
    fn report(&self, _: ProgressUpdate) {}
}

/// The number of tasks in each state. `completed` and `failed` count only the tasks that are kept,
/// see [`QueueSettings`](crate::config::QueueSettings).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Ready to start.
    pub waiting: u64,
    /// Ready at a later time.
    pub delayed: u64,
    /// Running.
    pub active: u64,
    /// Completed recently.
    pub completed: u64,
    /// Failed recently.
    pub failed: u64,
}

#[cfg(rocket_batch_internals)]
impl QueueCounts {
    /// Returns the number of unfinished tasks.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.waiting + self.delayed + self.active
    }
}

/// Whether waiting tasks of a queue can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "a queue in the process can always be reached"))]
pub enum QueueCondition {
    /// They can, if a worker is free.
    Open,
    /// The rate limit is used up.
    RateLimited,
    /// A tool of BullMQ paused the queue.
    Paused,
    /// The server of the queue does not respond.
    Unreachable,
}

/// The result of [`Queue::drain`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// No handler is running.
    Clean,
    /// The deadline passed while this many handlers were running. Their tasks are delivered again
    /// later.
    Left(u64),
}

/// A queue of tasks.
///
/// A dropped future may or may not have taken effect.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Returns the queue's name, such as `generate-product-batch-items`.
    fn name(&self) -> &str;

    /// Returns whether other processes use the same queue.
    ///
    /// A queue that exists only in this process requires that this process is the leader of its
    /// ledger, see `Ledger::try_acquire_leadership`. A shared queue needs no leader.
    fn is_shared(&self) -> bool;

    /// Puts every offered task into the queue and returns how many were absent.
    ///
    /// Idempotent: adds absent tasks, leaves waiting, delayed and active ones unchanged.
    async fn offer(&self, offers: &[Offer]) -> Result<u64>;

    /// Removes the tasks of `batch` that are not active. A task that a worker takes meanwhile
    /// stays.
    async fn withdraw(&self, batch: BatchId) -> Result<()>;

    /// Returns whether waiting tasks can start now. In Redis the answer is at most about a second
    /// old.
    async fn condition(&self) -> QueueCondition;

    /// Counts the tasks in each state.
    async fn counts(&self) -> Result<QueueCounts>;

    /// Starts to deliver tasks to `handler`, as many at a time as the settings allow. Returns at
    /// once. A second call is a bug of the caller and does nothing.
    async fn work(&self, handler: Arc<dyn Handler>) -> Result<()>;

    /// Starts no further task and waits for running handlers until `deadline`. After it, handlers
    /// keep running; the result counts them.
    async fn drain(&self, deadline: Instant) -> Drained;

    /// Makes a round trip to the queue's server, if there is one.
    async fn ping(&self) -> Result<()>;
}
