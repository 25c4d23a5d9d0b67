//! The rules that both databases follow. Pure: no I/O, no clock, no SQL.
//!
//! A verb of a database reads rows, asks a function here what follows, and writes that.

mod attempt;
mod audit;
mod batch;
mod chunk;
mod claim;
mod feed;
mod hook;
mod page;
mod prune;
mod reconcile;
mod request;
mod retry;
mod summary;
mod window;

pub(super) use self::{
    attempt::JobChange,
    audit::{AUDIT_WINDOW, NewAuditEntry, SAME_TIME, continued},
    batch::{BatchEnd, requested_change},
    chunk::ChunkGate,
    claim::{ClaimDecision, JobSnapshot, missing, missing_after, poisoned, without_row},
    feed::{hook_tasks, next_due, next_page},
    hook::{batch_event, hook_retry, job_event, wants_job_hook},
    page::{JobWindow, PageBuilder},
    prune::Sweep,
    reconcile::{CHECKS, CheckedBatch, CountedJob, add_recreated, repaired_status},
    request::{EarlierRequest, Recall},
    retry::{FailedJobRow, Selection, reopened_status},
    summary::{LEFT_BEHIND_AFTER, LEFT_BEHIND_BATCHES, NO_PROCESS, OLD_AFTER, OLD_ROWS, OpenBatch, no_work, portions},
    window::{
        Candidate, DUE_JOBS, ENDS_PAGE, HOOKS, Limited, UNPLANNED_BATCHES, Window, WindowSearch, batches_to_feed,
        limits, rank,
    },
};
