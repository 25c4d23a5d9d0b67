//! Why a database that responds refuses every write.

use super::error::{BoxError, LedgerError, unavailable};

/// Why a database that responds refuses every write. Work waits meanwhile, as if it did not
/// respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteRefusal {
    /// There is no space left.
    #[error("disk full")]
    DiskFull,
    /// The database or its session is read-only.
    #[error("read-only")]
    ReadOnly,
    /// The user of the ledger lost the right to write.
    #[error("permission denied")]
    NoPermission,
    /// The disk reported an error.
    #[error("disk error")]
    DiskError,
}

/// The source of a [`LedgerError::Unavailable`] whose database refuses writes.
#[derive(Debug, thiserror::Error)]
#[error("the database refuses writes: {refusal}")]
struct Refused {
    refusal: WriteRefusal,
    source: BoxError,
}

/// The error of a verb whose write was refused.
pub(super) fn refused(operation: &'static str, refusal: WriteRefusal, source: impl Into<BoxError>) -> LedgerError {
    unavailable(operation, Refused { refusal, source: source.into() })
}

impl LedgerError {
    /// Why the database refuses writes, if that is what the verb failed of.
    pub(crate) fn write_refusal(&self) -> Option<WriteRefusal> {
        let Self::Unavailable { source, .. } = self else { return None };
        source.downcast_ref::<Refused>().map(|refused| refused.refusal)
    }
}
