//! What SQLite says, by what the caller can do about it.
//!
//! A verb stops with a [`VerbError`], which keeps the error whole; [`VerbError::while_trying_to`]
//! sorts it once, at the border.

use rusqlite::{Error, ErrorCode};

use crate::domain::ChangeRefused;
use crate::ledger::{BoxError, LedgerError};

/// What a verb's function answers.
pub(super) type Result<T, E = VerbError> = std::result::Result<T, E>;

/// Why a verb did not come to its end. Nothing that it wrote stays.
#[derive(Debug)]
pub(super) enum VerbError {
    /// The database said no.
    Database(Error),
    /// The verb said no.
    Verb(LedgerError),
}

impl From<Error> for VerbError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<LedgerError> for VerbError {
    fn from(error: LedgerError) -> Self {
        Self::Verb(error)
    }
}

impl From<ChangeRefused> for VerbError {
    fn from(refused: ChangeRefused) -> Self {
        Self::Verb(refused.into())
    }
}

impl VerbError {
    /// The error for the caller of a verb; `operation` says what it was, as a verb phrase.
    pub(super) fn while_trying_to(self, operation: &'static str) -> LedgerError {
        match self {
            Self::Verb(error) => error,
            Self::Database(error) => sorted(error, operation),
        }
    }
}

/// The database could not be asked, or what it did is not known.
pub(super) fn unavailable(operation: &'static str, why: impl Into<BoxError>) -> LedgerError {
    LedgerError::Unavailable { operation, source: why.into() }
}

/// Something that ought not to happen did.
pub(super) fn broken(operation: &'static str, why: impl Into<BoxError>) -> LedgerError {
    LedgerError::Broken { operation, source: why.into() }
}

/// What a verb answers after the pool was closed.
pub(super) fn shut(operation: &'static str) -> LedgerError {
    unavailable(operation, "the ledger was shut")
}

fn sorted(error: Error, operation: &'static str) -> LedgerError {
    use ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::FileLockingProtocolFailed
            | Code::DiskFull
            | Code::SystemIoFailure
            | Code::CannotOpen
            | Code::ReadOnly
            | Code::PermissionDenied
            | Code::OutOfMemory
            | Code::OperationInterrupted
            | Code::OperationAborted,
        ) => unavailable(operation, error),
        Some(Code::ConstraintViolation | Code::TooBig | Code::TypeMismatch) => {
            LedgerError::Refused { why: error.to_string() }
        }
        _ => broken(operation, error),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn sorted_code(code: i32) -> LedgerError {
        VerbError::from(Error::SqliteFailure(ffi::Error::new(code), None)).while_trying_to("test")
    }

    #[test]
    fn an_error_is_sorted_by_what_can_be_done_about_it() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
        ] {
            assert!(matches!(sorted_code(code), LedgerError::Unavailable { operation: "test", .. }), "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_CONSTRAINT_TRIGGER, ffi::SQLITE_TOOBIG, ffi::SQLITE_MISMATCH] {
            assert!(matches!(sorted_code(code), LedgerError::Refused { .. }), "{code}");
        }
        for code in [ffi::SQLITE_ERROR, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_MISUSE] {
            assert!(matches!(sorted_code(code), LedgerError::Broken { .. }), "{code}");
        }
        let shape = VerbError::from(Error::QueryReturnedNoRows).while_trying_to("test");
        assert!(matches!(shape, LedgerError::Broken { .. }));
    }
}
