//! A job: its id, its states, its tasks, the result of an attempt, and how fast jobs run.
//!
//! ```text
//!   id.rs             b123-j0-g0: batch 123, job 0, generation 0
//!   state.rs          the states, and which of them are open
//!   task.rs           what a queue delivers to a worker
//!   failed_chunks.rs  the chunks that failed in an attempt, up to a maximum
//!   error_group.rs    errors that differ only in their values
//!   attempt.rs        outcome of an attempt -> what happens to the job
//!   pacing.rs         backoff, rate limit, throughput, priority, capacity
//! ```

mod attempt;
mod error_group;
mod failed_chunks;
mod id;
mod pacing;
mod state;
mod task;

#[cfg(rocket_batch_internals)]
pub use self::id::NotAJobId;
#[cfg(feature = "redis")]
pub(crate) use self::pacing::LOWEST_PRIORITY;
pub use self::{
    attempt::{Attempt, Failure, Outcome, Verdict, is_manual_retry, verdict},
    error_group::ErrorGroup,
    failed_chunks::{FailedChunk, FailedChunks},
    id::JobId,
    pacing::{Backoff, QueueCapacity, RateLimit, Throughput, fair_priority},
    state::JobState,
    task::{Delivery, HookId, StatusTask, Task},
};
