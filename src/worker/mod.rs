//! Runs jobs, and keeps the queues filled.
//!
//! ```text
//!   feeder.rs            ledger ──▶ queue        offers unfinished jobs; plans unplanned batches
//!   generate.rs          queue  ──▶ items        claims a job; attempt.rs inserts its missing items
//!   batches_to_close.rs  ledger ──▶ queue        offers to close batches whose last job finished in this process
//!   status.rs            queue  ──▶ batch, host  closes a batch, calls a hook
//!   reconcile.rs         items  ──▶ report       compares the items of a large batch with its plan
//!   summaries.rs         ledger ──▶ lists        counts open batches
//!   cleaner.rs           ledger                  removes old history
//!   runtime.rs           start, standby, drain; logs summary.rs
//! ```
//!
//! The ledger decides and the queue follows: the result of an attempt is recorded in the ledger
//! before the task is acknowledged in the queue. While the database is unavailable, all work waits
//! and uses up no attempt.

mod attempt;
mod batch_log;
mod batches_to_close;
mod chunk;
mod cleaner;
mod code_parameters;
mod context;
mod counter;
pub(crate) mod failpoints;
mod feeder;
mod finished_jobs;
mod generate;
mod heartbeat;
mod hooks;
mod offers;
mod planner;
mod presence;
mod reconcile;
mod report;
mod runtime;
mod stall_check;
mod status;
mod summaries;
mod summary;
mod wakeup;

pub(crate) use self::{
    batch_log::BatchLog,
    code_parameters::CodeParametersCache,
    context::Context,
    finished_jobs::FinishedJobs,
    hooks::{Callback, Hooks},
    presence::Presence,
    runtime::Runtime,
    summaries::Summaries,
    summary::LaunchSummary,
    wakeup::Wakeup,
};
