//! The rules of batches and jobs, without anything that runs them.
//!
//! ```text
//!   batch/            options, the plan (quantity -> jobs), statuses
//!   job/              id, tasks, attempts, pace of the queue
//!   code.rs           (batch, ordinal) <-> the code on the item
//!   record.rs         batches, jobs and items as callers see them
//!   process.rs        the processes that share a ledger
//!   reconciliation/   the items of a batch compared with its plan
//!   retry.rs          which failed jobs to retry, and the report
//!   event.rs          the events of hooks
//!   caller.rs         who asks for a change
//!   audit.rs          who changed what and when
//!   progress.rs       job counts, estimates
//!   batch_progress.rs how far a batch is, and why it does not advance
//!   request.rs        idempotent requests
//!   trace_parent.rs   the position of a request in a distributed trace
//!   invalid.rs        a request that is out of its limits
//!   error_chain.rs    an error with its causes in one line
//!   panic_message.rs  the message of a panic
//! ```
//!
//! Pure: no async, no I/O, no clock, no randomness, no Rocket. Everything that varies is an
//! argument, so every rule is tested with a table or a property.

mod audit;
mod batch;
mod batch_progress;
mod caller;
mod code;
mod error_chain;
mod event;
mod invalid;
mod job;
mod launch_failed;
mod panic_message;
mod process;
mod progress;
mod reconciliation;
mod record;
mod request;
mod retry;
mod trace_parent;

pub(crate) use audit::check_actor;
pub use audit::{AuditAction, AuditEntry};
pub use batch::{BatchId, BatchStatus, Change, ChangeRefused, ItemOptions, Limits, Plan};
pub(crate) use batch_progress::JobsWaitFor;
pub use batch_progress::{Observation, Progress, WaitingFor};
pub use caller::Caller;
pub use code::{CodeKey, CodeScheme};
pub use error_chain::error_chain;
pub use event::{BatchFinished, HookEvent, JobFinished};
pub use invalid::{Invalid, InvalidFields};
#[cfg(feature = "redis")]
pub(crate) use job::LOWEST_PRIORITY;
pub use job::{
    Attempt, Backoff, Delivery, ErrorGroup, FailedChunk, FailedChunks, Failure, HookId, JobId, JobState, Outcome,
    QueueCapacity, RateLimit, StatusTask, Task, Throughput, Verdict, fair_priority, is_manual_retry, verdict,
};
pub(crate) use launch_failed::LaunchFailed;
pub use panic_message::panic_message;
pub use process::{ProcessId, WorkerRecord};
pub use progress::{Activity, JobCounts, Measured, estimate, in_words};
pub use reconciliation::{
    CheckState, CodeCheck, ItemPage, JobSpan, OrdinalRange, PAGE_ITEMS, Reconciliation, ReconciliationOptions,
    RepairReport, Tally, WrongCode, absent_job,
};
pub use record::{BatchRecord, FailedJob, FailureExample, FailureGroup, Item, JobMap, JobRecord};
pub use request::{CreateRequest, IdempotencyKey};
pub(crate) use retry::{MAX_LISTED_JOBS, check_group};
pub use retry::{RetryOptions, RetryReport, SkippedJob};
pub use trace_parent::{InvalidTraceParent, TraceParent};

#[cfg(rocket_batch_internals)]
pub use {batch::JobSlice, code::DecodedCode, job::NotAJobId, progress::percent};
