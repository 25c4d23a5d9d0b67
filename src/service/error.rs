//! The errors of the service, by what the caller can do.

use crate::{
    domain::{BatchId, ChangeRefused, Invalid, InvalidFields, Progress, RepairReport, RetryReport, error_chain},
    ledger::{BoxError, LedgerError, WrongDatabaseKind},
};

/// The error of a service call. As a responder it is the problem document that the routes of this
/// crate respond with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Fields are wrong; contains each of them. Nothing was changed.
    #[error(transparent)]
    Invalid(#[from] InvalidFields),

    /// No batch has this id.
    #[error("there is no batch {0}")]
    NoSuchBatch(i64),

    /// No item has this code.
    #[error("there is no item with this code")]
    NoSuchItem,

    /// The id is already in use. The existing batch is unchanged.
    #[error("batch {0} already exists")]
    IdInUse(BatchId),

    /// The `Idempotency-Key` was used by another request, which created this batch. Nothing was
    /// changed. Only the route of this crate returns it.
    #[error("the `Idempotency-Key` was used by another request, which created batch {0}")]
    KeyReused(BatchId),

    /// The status of the batch does not allow the change. Nothing was changed.
    #[error(transparent)]
    NotAllowed(ChangeRefused),

    /// The host's finish hook returned an error, with this message. Nothing was changed.
    #[error("the finish hook of this app refused: {0}")]
    HookFailed(String),

    /// The batch has no failed jobs.
    #[error("batch {} has no failed jobs to retry, or none that the request selects", .0.batch_id)]
    NothingToRetry(Box<RetryReport>),

    /// No completed job of the batch misses items.
    #[error("no completed job of batch {} misses items", .0.batch_id)]
    NothingToRepair(Box<RepairReport>),

    /// The batch did not finish in time; contains its progress.
    #[error("batch {} is {} and has not finished yet", .0.batch_id, .0.status)]
    NotFinished(Box<Progress>),

    /// The batch is finished, but hooks were not called in time.
    #[error("batch {batch_id} is finished, but {open} of its hooks still wait for a call")]
    HooksPending {
        /// The batch.
        batch_id: BatchId,
        /// How many hooks wait for a call.
        open: u64,
    },

    /// The batch finished longer than `keep_history` ago, and the rows of its jobs were removed
    /// permanently.
    #[error("the history of batch {0} was removed: its jobs can't be listed or retried any more")]
    HistoryRemoved(BatchId),

    /// The cursor is not from this list.
    #[error("`cursor` is not a cursor of this list")]
    BadCursor,

    /// The call needs PostgreSQL, but the ledger is in SQLite, or the other way round. Nothing was
    /// changed.
    #[error(transparent)]
    WrongDatabaseKind(#[from] WrongDatabaseKind),

    /// Too many requests read at the same time. Nothing was read; try again in a moment.
    #[error("too many requests read at once; try again in a moment")]
    Busy,

    /// This process has as many event streams as it can have. Try again later.
    #[error("this process has as many event streams as it can have; try again later")]
    TooManyWatchers,

    /// This caller has 20 event streams open. Close one of them.
    #[error("you have 20 event streams open, the maximum; close one of them")]
    TooManyWatchersOfCaller,

    /// The database did not respond in time. Whether a change took effect is unknown; read the
    /// batch to find out.
    #[error("the database does not respond; try again later")]
    Unavailable(#[source] BoxError),

    /// The database rejected a statement: a defect of this crate, or a constraint or trigger that
    /// you added to its tables, or a statement of your own. The log has the details.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

impl From<Invalid> for BatchError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid.into())
    }
}

impl From<LedgerError> for BatchError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NoSuchBatch(id) => Self::NoSuchBatch(id.get()),
            LedgerError::IdInUse(id) => Self::IdInUse(id),
            LedgerError::KeyReused(id) => Self::KeyReused(id),
            LedgerError::NotAllowed(refusal) => Self::NotAllowed(refusal),
            LedgerError::HistoryRemoved(id) => Self::HistoryRemoved(id),
            LedgerError::HookFailed { why } => Self::HookFailed(why),
            error @ LedgerError::Unavailable { .. } => Self::Unavailable(error.into()),
            error @ (LedgerError::Rejected { .. } | LedgerError::Failed { .. }) => Self::Internal(error.into()),
        }
    }
}

/// The operation of a statement of the host's own, as a verb phrase.
pub(crate) const HOST_STATEMENT: &str = "run a statement of the host";

impl BatchError {
    /// Returns the error for a failed statement of the host's own. Logs the cause, which the
    /// response does not contain.
    pub(crate) fn of_host_statement(error: LedgerError) -> Self {
        tracing::error!(error = error_chain(&error), "a statement of the host failed");
        error.into()
    }
}

/// The result of a service call.
pub type Result<T, E = BatchError> = std::result::Result<T, E>;
