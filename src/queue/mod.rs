//! Hands tasks to workers, in order of priority and at the pace that is set. It may lose everything
//! without harm: the ledger knows.
//!
//! ```text
//!             offer                          Disposition::Ack, Fail, Forget
//!   absent ──────────▶ waiting ──▶ active ──────────────────────────────▶ absent
//!      │                 ▲  ▲        │ │
//!      │ with a delay    │  └────────┘ │ Answer::Retry, after a backoff
//!      └──────────────▶ delayed ◀──────┘
//!                            Disposition::Release goes to waiting and spends nothing
//! ```
//!
//! Nothing here knows what a task means; [`Handler`] does.

#[cfg(feature = "redis")]
pub mod bullmq;
pub mod local;
mod open;

use std::{any::Any, fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket::futures::FutureExt as _;
use tokio::time::Instant;

pub(crate) use self::open::Queues;
use crate::domain::{BatchId, Delivery, Task};

/// What a verb answers.
pub type Result<T> = std::result::Result<T, QueueError>;

/// Why the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// It can't be reached. Try again later; the feeder makes good what was missed.
    #[error("the queue {queue} did not answer")]
    Unavailable {
        /// Its name.
        queue: String,
        /// What was said instead.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// It answers, and does not allow its user all that the queue needs. Give the user the rights,
    /// and start again.
    #[error("the queue {queue} lacks rights")]
    Forbidden {
        /// Its name.
        queue: String,
        /// What is not allowed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A task that ought to be in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// What is to be done; its `Display` is its id.
    pub task: Task,
    /// Its place among the tasks of its batch, from 0; the queue makes the priority of it, see
    /// [`fair_priority`](crate::domain::fair_priority).
    pub rank: u64,
    /// Not before.
    pub delay: Duration,
    /// Attempts that failed, as the ledger counts them.
    pub attempts_made: u32,
}

/// How a handler answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    Ack,
    /// It failed; try again after the queue's backoff, while attempts are left.
    Retry(String),
    /// It failed for good.
    Fail(String),
    /// It was not worked; hand it out again, and spend no attempt on it.
    Release,
    /// It was not worked and is not to be; take it out.
    Discard,
}

/// Works tasks.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Works one task. A panic counts as [`Disposition::Retry`]. What is worth a look meanwhile
    /// goes to `progress`.
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition;
}

/// What a handler lets those know who look at the queue with a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressUpdate {
    /// How much of the task is done, 0 to 100; `None` leaves what was said before.
    pub percent: Option<u8>,
    /// A line for the log of the task.
    pub line: String,
}

/// Where the notes about one attempt go.
pub trait ProgressSink: Send + Sync {
    /// Takes a note. Returns at once; a note may be lost, and nothing may depend on it.
    fn report(&self, update: ProgressUpdate);
}

/// Nobody looks.
impl ProgressSink for () {
    fn report(&self, _: ProgressUpdate) {}
}

/// How many tasks are where. `completed` and `failed` count those that are kept, see
/// [`QueueSettings`](crate::config::QueueSettings).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Ready.
    pub waiting: u64,
    /// To be ready later.
    pub delayed: u64,
    /// In a worker's hands.
    pub active: u64,
    /// Done, of late.
    pub completed: u64,
    /// Failed, of late.
    pub failed: u64,
}

impl QueueCounts {
    /// All that still have to be worked.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.waiting + self.delayed + self.active
    }
}

/// What [`Queue::drain`] left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// No handler runs.
    Clean,
    /// The deadline came first; so many handlers still run, and their tasks come back by
    /// themselves.
    Left(u64),
}

/// One queue.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Its name, such as `generate-product-batch-items`.
    fn name(&self) -> &str;

    /// Whether other processes see the same queue. One that is in the process alone works its
    /// ledger alone, see `Ledger::try_acquire_leadership`; a shared one needs no leader.
    fn is_shared(&self) -> bool;

    /// Makes sure that every offered task is in the queue; answers with how many were not.
    ///
    /// Idempotent: absent is added; waiting, delayed and active stay as they are.
    async fn offer(&self, offers: &[Offer]) -> Result<u64>;

    /// Takes out the tasks of `batch` that no worker holds. Best effort.
    async fn withdraw(&self, batch: BatchId) -> Result<()>;

    /// How many tasks are where.
    async fn counts(&self) -> Result<QueueCounts>;

    /// Starts to hand tasks to `handler`, as many at a time as the settings say. Returns at once;
    /// starting twice is a defect of the caller and does nothing.
    async fn work(&self, handler: Arc<dyn Handler>) -> Result<()>;

    /// Holds the whole queue: running handlers end, nothing new begins.
    async fn pause(&self) -> Result<()>;

    /// Ends a [`Queue::pause`].
    async fn resume(&self) -> Result<()>;

    /// Hands out nothing from now on, waits for running handlers until `deadline`.
    async fn drain(&self, deadline: Instant) -> Drained;

    /// A round trip to wherever the queue is.
    async fn ping(&self) -> Result<()>;
}

/// Lets the handler work one task, and survives its panic.
async fn attempt(
    queue: &str,
    handler: &dyn Handler,
    delivery: Delivery<Task>,
    progress: &dyn ProgressSink,
) -> Disposition {
    // In an async block, since a handler that is written by hand may panic before it returns its
    // future.
    let attempt = AssertUnwindSafe(async { handler.handle(delivery, progress).await });
    attempt.catch_unwind().await.unwrap_or_else(|panic| {
        let message = message_of(&*panic);
        tracing::error!(queue, task = %delivery, message, "a handler panicked");
        Disposition::Retry(format!("panicked: {message}"))
    })
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
