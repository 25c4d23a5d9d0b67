//! Why a ledger failed.

use crate::domain::{BatchId, ChangeRefused};

/// The result of a verb of the ledger.
pub type Result<T> = std::result::Result<T, LedgerError>;

/// Any error, kept as the source of another one.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the ledger, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The database did not respond. Try again; no attempt is counted.
    #[error("the database did not respond while trying to {operation}")]
    Unavailable {
        /// The operation, as a verb phrase.
        operation: &'static str,
        /// The error of the database or of the connection to it.
        #[source]
        source: BoxError,
    },

    /// The database or the host's item writer rejected the rows. Inserting the same rows may
    /// fail again.
    #[error("the rows were rejected: {why}")]
    Rejected {
        /// The message of the database or of the item writer.
        why: String,
    },

    /// The host's finish hook returned an error, so the batch was not finished. Nothing was
    /// changed.
    #[error("the finish hook failed: {why}")]
    HookFailed {
        /// The message of the hook's error or panic.
        why: String,
    },

    /// The batch does not exist.
    #[error("batch {0} does not exist")]
    NoSuchBatch(BatchId),

    /// The id is in use.
    #[error("batch {0} already exists")]
    IdInUse(BatchId),

    /// The idempotency key was used for another request.
    #[error("this `Idempotency-Key` was used for another request, which created batch {0}")]
    KeyReused(BatchId),

    /// The status of the batch does not allow the change.
    #[error(transparent)]
    NotAllowed(#[from] ChangeRefused),

    /// The job rows of the batch were pruned after it finished. They can't be restored.
    #[error("the history of batch {0} was removed: its jobs can't be listed or retried any more")]
    HistoryRemoved(BatchId),

    /// The statement itself failed. This is a defect of this crate or of the tables.
    #[error("could not {operation}")]
    Failed {
        /// The operation, as a verb phrase.
        operation: &'static str,
        /// The error of the database.
        #[source]
        source: BoxError,
    },
}

/// The database did not respond, or its response was lost.
pub(super) fn unavailable(operation: &'static str, why: impl Into<BoxError>) -> LedgerError {
    LedgerError::Unavailable { operation, source: why.into() }
}

/// A defect.
pub(super) fn failed(operation: &'static str, why: impl Into<BoxError>) -> LedgerError {
    LedgerError::Failed { operation, source: why.into() }
}
