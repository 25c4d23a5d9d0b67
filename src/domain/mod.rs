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
//! Pure: no async, no I/O, no clock, no chance, no Rocket. Whatever varies comes in as an argument, so every rule here is tested
//! as a table or a property.

mod batch;
mod causes;
mod code;
mod job;
mod progress;
mod record;
mod request;

pub use batch::{BatchId, BatchStatus, Change, ChangeRefused, Invalid, ItemOptions, JobSlice, Limits, Plan};
pub use causes::with_causes;
pub use code::{CodeKey, CodeScheme, DecodedCode};
#[cfg(feature = "redis")]
pub(crate) use job::LOWEST_PRIORITY;
pub use job::{
    Attempt, Backoff, Call, FailedChunks, Failure, HookId, JobId, JobState, Outcome, Pace, RateLimit, Room, SetAside,
    StatusTask, Task, Verdict, fair_priority, put_back_by_hand, verdict,
};
pub use progress::{JobCounts, Measured, estimate, in_words, percent};
pub(crate) use record::MAX_LISTED_JOBS;
pub use record::{
    BatchFinished, BatchRecord, FailedJob, HookEvent, Item, JobEnded, Progress, RetryReport, SkippedJob, WaitingFor,
};
pub use request::{CreateRequest, IdempotencyKey};
