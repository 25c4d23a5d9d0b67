//! Errors of SQLite, by what the caller can do about them.
//!
//! A verb fails with a [`VerbError`], which keeps the original error.
//! [`VerbError::into_ledger_error`] classifies it.

use rusqlite::{Error, ErrorCode};

use crate::domain::{ChangeRefused, error_chain};
use crate::ledger::{
    error::{BoxError, LedgerError, failed, unavailable},
    refusal::{WriteRefusal, refused},
};

/// The result of a verb's function.
pub(super) type Result<T, E = VerbError> = std::result::Result<T, E>;

/// An error of a verb. Nothing that it wrote is kept.
#[derive(Debug)]
pub(super) enum VerbError {
    /// An error of the database.
    Database(Error),
    /// An error of the verb itself.
    Verb(LedgerError),
}

/// An error that may end a verb's function.
///
/// A trait, and one `From` for all, in place of a `From` for each: rustc names the private type of
/// such an impl in a host whose own `?` is ambiguous.
pub(super) trait EndsVerb {
    fn into_verb_error(self) -> VerbError;
}

impl<E: EndsVerb> From<E> for VerbError {
    fn from(error: E) -> Self {
        error.into_verb_error()
    }
}

impl EndsVerb for Error {
    fn into_verb_error(self) -> VerbError {
        VerbError::Database(self)
    }
}

impl EndsVerb for LedgerError {
    fn into_verb_error(self) -> VerbError {
        VerbError::Verb(self)
    }
}

impl EndsVerb for ChangeRefused {
    fn into_verb_error(self) -> VerbError {
        VerbError::Verb(self.into())
    }
}

impl VerbError {
    /// Returns the error for the caller; `operation` is a verb phrase.
    pub(super) fn into_ledger_error(self, operation: &'static str) -> LedgerError {
        match self {
            Self::Verb(error) => error,
            Self::Database(error) => classified(error, operation),
        }
    }
}

/// The error of every verb after the pool was closed.
pub(super) fn closed(operation: &'static str) -> LedgerError {
    unavailable(operation, "the ledger was closed")
}

/// The ledger's error for an error of SQLite.
pub(crate) fn classified(error: Error, operation: &'static str) -> LedgerError {
    use ErrorCode as Code;
    if let Some(refusal) = write_refusal(&error) {
        return refused(operation, refusal, error);
    }
    match error.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::FileLockingProtocolFailed
            | Code::SystemIoFailure
            | Code::CannotOpen
            | Code::OutOfMemory
            | Code::OperationInterrupted
            | Code::OperationAborted,
        ) => unavailable(operation, error),
        Some(Code::ConstraintViolation | Code::TooBig | Code::TypeMismatch) => {
            LedgerError::Rejected { why: error.to_string() }
        }
        _ => failed(operation, error),
    }
}

/// Why SQLite refuses every write, if it does.
pub(super) fn write_refusal(error: &Error) -> Option<WriteRefusal> {
    const IOERR_WRITE: i32 = 778;
    const IOERR_FSYNC: i32 = 1_034;
    match error.sqlite_error()? {
        failure if [IOERR_WRITE, IOERR_FSYNC].contains(&failure.extended_code) => Some(WriteRefusal::DiskError),
        failure => match failure.code {
            ErrorCode::DiskFull => Some(WriteRefusal::DiskFull),
            ErrorCode::ReadOnly => Some(WriteRefusal::ReadOnly),
            ErrorCode::PermissionDenied => Some(WriteRefusal::NoPermission),
            _ => None,
        },
    }
}

/// The message of a host's error. That of SQLite is complete without its cause, the code.
pub(super) fn message_of_host(error: &BoxError) -> String {
    error.downcast_ref::<Error>().map_or_else(|| error_chain(&**error), Error::to_string)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn classified_code(code: i32) -> LedgerError {
        VerbError::from(Error::SqliteFailure(ffi::Error::new(code), None)).into_ledger_error("test")
    }

    #[test]
    fn errors_are_classified_by_what_the_caller_can_do() {
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
            assert!(matches!(classified_code(code), LedgerError::Unavailable { operation: "test", .. }), "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_CONSTRAINT_TRIGGER, ffi::SQLITE_TOOBIG, ffi::SQLITE_MISMATCH] {
            assert!(matches!(classified_code(code), LedgerError::Rejected { .. }), "{code}");
        }
        for code in [ffi::SQLITE_ERROR, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_MISUSE] {
            assert!(matches!(classified_code(code), LedgerError::Failed { .. }), "{code}");
        }
        let shape = VerbError::from(Error::QueryReturnedNoRows).into_ledger_error("test");
        assert!(matches!(shape, LedgerError::Failed { .. }));
    }

    #[test]
    fn a_refused_write_is_unavailable_and_says_why() {
        let table = [
            (ffi::SQLITE_FULL, Some(WriteRefusal::DiskFull)),
            (ffi::SQLITE_READONLY, Some(WriteRefusal::ReadOnly)),
            (ffi::SQLITE_READONLY_DIRECTORY, Some(WriteRefusal::ReadOnly)),
            (ffi::SQLITE_PERM, Some(WriteRefusal::NoPermission)),
            (ffi::SQLITE_IOERR_WRITE, Some(WriteRefusal::DiskError)),
            (ffi::SQLITE_IOERR_FSYNC, Some(WriteRefusal::DiskError)),
            (ffi::SQLITE_IOERR_READ, None),
            (ffi::SQLITE_BUSY, None),
            (ffi::SQLITE_CONSTRAINT, None),
        ];
        for (code, expected) in table {
            assert_eq!(classified_code(code).write_refusal(), expected, "{code}");
        }
    }

    /// It was "CHECK constraint failed: stock: Error code 275: constraint failed".
    #[test]
    fn the_message_of_a_statement_is_given_once() {
        let refused = |text: Option<&str>| {
            Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CONSTRAINT_CHECK), text.map(str::to_owned))
        };

        assert_eq!(
            message_of_host(&refused(Some("CHECK constraint failed: stock")).into()),
            "CHECK constraint failed: stock"
        );
        assert!(message_of_host(&refused(None).into()).contains("275"));
        assert_eq!(message_of_host(&"no ink".into()), "no ink");
    }
}
