//! Errors of PostgreSQL, by what the caller can do about them.
//!
//! ```text
//!   rolled back by the server     40001 40P01 55P03         repeated here
//!   the connection was lost       08… 57P01 57P02 57P03     repeated here, if the verb is REPEATABLE
//!   the server is unable          53… 25006 57014 58…       Unavailable
//!   the right to write was lost   42501                     Unavailable, but Rejected for the host
//!   the rows were rejected        22… 23… P0…               Rejected
//!   anything else                                           Failed
//! ```
//!
//! A verb fails with a [`VerbError`], which keeps the original error.
//! [`VerbError::into_ledger_error`] classifies it.

use std::{error::Error as _, io};

use tokio_postgres::{Error, error::SqlState};

use crate::domain::ChangeRefused;
use crate::ledger::{
    error::{BoxError, LedgerError, failed, unavailable},
    refusal::{WriteRefusal, refused},
};

/// The result of a verb's function.
pub(super) type Result<T, E = VerbError> = std::result::Result<T, E>;

/// An error of a verb.
#[derive(Debug)]
pub(in crate::ledger) enum VerbError {
    /// An error of the database or of the connection to it.
    Database(Error),
    /// An error of the verb itself. Nothing that it wrote is kept.
    Verb(LedgerError),
    /// No connection became free in time, or none could be opened.
    NoConnection(BoxError),
    /// A concurrent transaction inserted the same item. Nothing was written; repeat the statement.
    Race,
    /// The server did not respond, not even with a timeout.
    NoResponse,
}

/// The kinds of errors of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The server rolled the transaction back because of another one.
    RolledBack,
    /// The connection broke, and with it the response was lost.
    ConnectionLost,
    /// The server is unable to do it now.
    ServerUnable,
    /// The user has no right to do it. A ledger that was launched had it.
    Forbidden,
    /// The rows were rejected.
    RowsRejected,
    /// A defect.
    Defect,
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

/// The ledger's error for an error of PostgreSQL in a statement of the host.
pub(crate) fn classified(error: Error, operation: &'static str) -> LedgerError {
    match kind(&error) {
        // The host's own right, which the ledger does not need.
        Kind::Forbidden => failed(operation, message_of(&error)),
        _ => VerbError::Database(error).into_ledger_error(operation),
    }
}

impl VerbError {
    /// Returns the error for the caller; `operation` is a verb phrase.
    pub(super) fn into_ledger_error(self, operation: &'static str) -> LedgerError {
        match self {
            Self::Verb(error) => error,
            Self::NoConnection(why) => unavailable(operation, why),
            Self::Race => unavailable(operation, "other sessions kept inserting the same items"),
            Self::NoResponse => unavailable(operation, "the server does not respond"),
            Self::Database(error) => match kind(&error) {
                Kind::RolledBack | Kind::ConnectionLost | Kind::ServerUnable | Kind::Forbidden => {
                    match write_refusal(&error) {
                        Some(refusal) => refused(operation, refusal, message_of(&error)),
                        None => unavailable(operation, message_of(&error)),
                    }
                }
                Kind::RowsRejected => LedgerError::Rejected { why: message_of(&error) },
                Kind::Defect => failed(operation, message_of(&error)),
            },
        }
    }

    /// Whether the database rejected the host's rows at the commit, by a deferred constraint.
    pub(super) fn rejects_rows(error: &Error) -> bool {
        kind(error) == Kind::RowsRejected
    }

    /// Whether nothing was changed for certain, so that the verb may be repeated.
    pub(super) fn is_rolled_back(&self) -> bool {
        match self {
            Self::Race => true,
            Self::Database(error) => kind(error) == Kind::RolledBack,
            Self::Verb(_) | Self::NoConnection(_) | Self::NoResponse => false,
        }
    }

    /// Whether the connection broke, so that the result is unknown.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Database(error) if kind(error) == Kind::ConnectionLost)
    }

    /// Whether the connection must not be used again.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Self::NoResponse => true,
            Self::Database(error) => {
                matches!(kind(error), Kind::ConnectionLost | Kind::ServerUnable | Kind::Forbidden | Kind::Defect)
            }
            Self::Verb(_) | Self::NoConnection(_) | Self::Race => false,
        }
    }
}

/// A stored value that this version can't read.
pub(super) fn unreadable(why: impl Into<BoxError>) -> VerbError {
    VerbError::Verb(failed("read a stored value", why))
}

/// Returns the message of the server, which is the cause of the driver's error ("db error").
pub(super) fn message_of(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Whether the host's own statement failed for a reason other than its rows.
pub(super) fn is_unavailable(error: &Error) -> bool {
    matches!(kind(error), Kind::RolledBack | Kind::ConnectionLost | Kind::ServerUnable)
}

/// Why the server refuses every write, if it does.
fn write_refusal(error: &Error) -> Option<WriteRefusal> {
    error.code().and_then(refusal_of)
}

fn refusal_of(code: &SqlState) -> Option<WriteRefusal> {
    match code.code() {
        "53100" => Some(WriteRefusal::DiskFull),
        "25006" => Some(WriteRefusal::ReadOnly),
        "42501" => Some(WriteRefusal::NoPermission),
        "58030" => Some(WriteRefusal::DiskError),
        _ => None,
    }
}

fn kind(error: &Error) -> Kind {
    match error.code() {
        Some(code) => kind_of(code),
        None if error.is_closed() || is_connection_error(error) => Kind::ConnectionLost,
        None => Kind::Defect,
    }
}

/// Whether the connection failed: the network, the encryption, or a timeout.
fn is_connection_error(error: &Error) -> bool {
    let message = error.to_string();
    error.source().is_some_and(<dyn std::error::Error + 'static>::is::<io::Error>)
        || message.starts_with("timeout")
        || message.starts_with("error performing TLS")
        || message.starts_with("unexpected message")
}

fn kind_of(code: &SqlState) -> Kind {
    match code.code() {
        "40001" | "40P01" | "55P03" => Kind::RolledBack,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Kind::ConnectionLost,
        // A former primary that is now a standby: the next connection finds the new primary.
        "25006" | "57014" | "55000" => Kind::ServerUnable,
        "42501" => Kind::Forbidden,
        code => match code.get(..2).unwrap_or_default() {
            "08" => Kind::ConnectionLost,
            "28" | "53" | "58" | "3D" => Kind::ServerUnable,
            "22" | "23" | "P0" => Kind::RowsRejected,
            _ => Kind::Defect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_what_the_caller_can_do() {
        let table = [
            (Kind::RolledBack, &["40001", "40P01", "55P03"][..]),
            (Kind::ConnectionLost, &["08006", "08003", "57P01", "57P02", "57P03"]),
            (Kind::ServerUnable, &["53100", "53200", "53300", "25006", "57014", "58030", "28P01"]),
            (Kind::RowsRejected, &["22001", "22021", "23505", "23514", "P0001"]),
            (Kind::Forbidden, &["42501"]),
            (Kind::Defect, &["42601", "42P01", "25P02", "XX000", "0A000"]),
        ];

        for (expected, codes) in table {
            for code in codes {
                assert_eq!(kind_of(&SqlState::from_code(code)), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_refused_write_says_why() {
        let table = [
            ("53100", Some(WriteRefusal::DiskFull)),
            ("25006", Some(WriteRefusal::ReadOnly)),
            ("42501", Some(WriteRefusal::NoPermission)),
            ("58030", Some(WriteRefusal::DiskError)),
            ("53300", None),
            ("23505", None),
        ];
        for (code, expected) in table {
            assert_eq!(refusal_of(&SqlState::from_code(code)), expected, "{code}");
        }
    }
}
