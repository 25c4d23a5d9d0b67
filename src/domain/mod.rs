//! What a batch is and what may become of it: the rules, and nothing that runs them.
//!
//! ```text
//!   batch.rs     a request, its plan, its statuses
//!   job.rs       a slice of a batch, its attempts, its place in the queue
//!   code.rs      (batch, ordinal) <-> the code on the item
//!   record.rs    what may be seen of them
//!   progress.rs  counts that always sum, and how long the rest will take
//!   request.rs   a request that comes twice
//!   causes.rs    an error in one line
//! ```
//!
//! Pure: no async, no I/O, no clock, no chance, no Rocket. Whatever varies comes in as an argument,
//! so every rule here is tested as a table or a property.

mod batch;
mod code;
mod error_chain;
mod job;
mod panic_message;
mod progress;
mod record;
mod request;

pub use batch::{BatchId, BatchStatus, Change, ChangeRefused, Invalid, ItemOptions, JobSlice, Limits, Plan};
pub use code::{CodeKey, CodeScheme, DecodedCode};
pub use error_chain::error_chain;
#[cfg(feature = "redis")]
pub(crate) use job::LOWEST_PRIORITY;
pub use job::{
    Attempt, Backoff, Delivery, FailedChunk, FailedChunks, Failure, HookId, JobId, JobState, Outcome, QueueCapacity,
    RateLimit, StatusTask, Task, Throughput, Verdict, fair_priority, is_manual_retry, verdict,
};
pub use panic_message::panic_message;
pub use progress::{JobCounts, Measured, estimate, in_words, percent};
pub(crate) use record::MAX_LISTED_JOBS;
pub use record::{
    BatchFinished, BatchRecord, FailedJob, HookEvent, Item, JobEnded, Progress, RetryReport, SkippedJob, WaitingFor,
};
pub use request::{CreateRequest, IdempotencyKey};
