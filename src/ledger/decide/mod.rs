//! The rules that both databases follow. Pure: no I/O, no clock, no SQL.
//!
//! A verb of a database reads rows, asks a function here what follows, and writes that.

mod attempt;
mod batch;
mod chunk;
mod claim;
mod hook;
mod page;
mod prune;
mod request;
mod retry;
mod summary;
mod window;

pub(super) use self::{
    attempt::JobChange,
    batch::{closed_status, closing_error, requested_change},
    chunk::ChunkGate,
    claim::{ClaimDecision, JobSnapshot, missing, poisoned},
    hook::{job_event, wants_job_hook},
    page::{JobWindow, PageBuilder},
    prune::Sweep,
    request::{EarlierRequest, Recall},
    retry::{FailedJobRow, reopened_status, retry_report},
    summary::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES, OLD_AFTER, OLD_ROWS, OpenBatch, portions},
    window::{
        Candidate, DUE_JOBS, ENDS_PAGE, HOOKS, Limited, UNPLANNED_BATCHES, Window, WindowSearch, batches_to_feed,
        limits,
    },
};
