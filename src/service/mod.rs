//! The operations of the crate, without HTTP: called by hosts and by the routes.
//!
//! ```text
//!   host's handler ──┐                      ┌──▶ ledger
//!                    ├──▶ BatchService ─────┤
//!   our routes ──────┘                      └──▶ wake, so that the feeder fills the queue
//! ```
//!
//! Nothing here waits for work: a batch is accepted as soon as it is committed to the ledger.
//!
//! ```text
//!   handle.rs        BatchService and what it is made of
//!   create.rs        create a batch         transactions.rs  in a transaction of the host
//!   preview.rs       what creating a batch would do
//!   queries.rs       read batches, jobs, items
//!   audit.rs         read who changed what
//!   waiting.rs       wait for the end of a batch, and for its hooks
//!   commands.rs      retry, cancel, pause, resume
//!   hook_context.rs  what hooks and item writers reach
//!   workers.rs       which processes there are, and whether any of them runs jobs
//!   readiness.rs     whether this process can take requests
//!   error.rs, page.rs, accepted.rs, reads.rs, worker_check.rs
//! ```

mod accepted;
mod audit;
mod commands;
mod create;
mod error;
mod handle;
mod hook_context;
mod page;
mod preview;
mod queries;
mod readiness;
mod reads;
mod reconciliation;
mod transactions;
mod waiting;
mod watching;
mod worker_check;
mod workers;

pub(crate) use self::{
    accepted::Answered,
    error::HOST_STATEMENT,
    handle::Parts,
    hook_context::{LateContext, States},
    reads::Reads,
    worker_check::WorkerCheck,
};
pub use self::{
    accepted::BatchAccepted,
    audit::AuditQuery,
    error::{BatchError, Result},
    handle::BatchService,
    hook_context::{HookContext, ItemContext, MissingState},
    page::{Page, PageQuery},
    preview::{BatchPreview, CodeForm},
    readiness::Readiness,
    transactions::HostTransaction,
    watching::ProgressStream,
};
