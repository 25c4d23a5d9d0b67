//! What Postgres says, by what the caller can do about it.
//!
//! ```text
//!   the server took it back            40001 40P01 55P03          repeated here, at once
//!   the connection broke in between    08… 57P01 57P02 57P03      repeated here, where a verb knows its own work again
//!   the server is out of something     53… 25006 57014 58…        Unavailable
//!   the rows are wrong                 22… 23… P0…                Refused
//!   anything else                                                 Broken
//! ```
//!
//! A verb stops with a [`VerbError`], which keeps the error whole; [`VerbError::while_trying_to`]
//! sorts it once, at the border.

use std::{error::Error as _, io};

use tokio_postgres::{Error, error::SqlState};

use crate::domain::ChangeRefused;
use crate::ledger::{BoxError, LedgerError};

/// What a verb's function answers.
pub(super) type Result<T, E = VerbError> = std::result::Result<T, E>;

/// Why a verb did not come to its end.
#[derive(Debug)]
pub(super) enum VerbError {
    /// The database said no, or the connection to it broke.
    Database(Error),
    /// The verb said no. Nothing that it wrote stays.
    Verb(LedgerError),
    /// No connection came free in time, or none could be made.
    Unreached(BoxError),
    /// Another transaction was committed at the wrong moment; nothing was written.
    Raced,
    /// No answer came in time, not even that the time was over.
    Silent,
}

/// What an error of the database leaves to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The transaction was taken back for the sake of another one.
    TakenBack,
    /// The connection is gone, and with it the answer.
    Lost,
    /// The server can't, now.
    Unable,
    /// The rows are wrong.
    Wrong,
    /// A defect.
    Defect,
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
            Self::Unreached(why) => unavailable(operation, why),
            Self::Raced => unavailable(operation, "others were faster, again and again"),
            Self::Silent => unavailable(operation, "the server stays silent"),
            Self::Database(error) => match kind(&error) {
                Kind::TakenBack | Kind::Lost | Kind::Unable => unavailable(operation, in_words(&error)),
                Kind::Wrong => LedgerError::Refused { why: in_words(&error) },
                Kind::Defect => broken(operation, in_words(&error)),
            },
        }
    }

    /// Whether nothing happened for sure, so that anything may be tried again.
    pub(super) fn left_nothing(&self) -> bool {
        match self {
            Self::Raced => true,
            Self::Database(error) => kind(error) == Kind::TakenBack,
            Self::Verb(_) | Self::Unreached(_) | Self::Silent => false,
        }
    }

    /// Whether the connection broke, so that it is not known what happened.
    pub(super) fn left_doubt(&self) -> bool {
        matches!(self, Self::Database(error) if kind(error) == Kind::Lost)
    }

    /// Whether the connection must not be used again.
    pub(super) fn spoils_connection(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Database(error) => matches!(kind(error), Kind::Lost | Kind::Unable | Kind::Defect),
            Self::Verb(_) | Self::Unreached(_) | Self::Raced => false,
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

/// A value of the database that this version does not know.
pub(super) fn unreadable(why: impl Into<BoxError>) -> VerbError {
    VerbError::Verb(broken("read what is stored", why))
}

/// The driver's own words say little ("db error"); what the server said is its cause.
pub(super) fn in_words(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => format!("{} ({})", said.message(), said.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

/// Whether the host's own statement failed because the server can't at all, which is no fault of
/// the rows.
pub(super) fn is_unavailable(error: &Error) -> bool {
    matches!(kind(error), Kind::TakenBack | Kind::Lost | Kind::Unable)
}

fn kind(error: &Error) -> Kind {
    match error.code() {
        Some(code) => kind_of(code),
        None if error.is_closed() || is_of_the_way(error) => Kind::Lost,
        None => Kind::Defect,
    }
}

/// Whether the way to the server failed: the network, its encryption, or the time.
fn is_of_the_way(error: &Error) -> bool {
    let words = error.to_string();
    error.source().is_some_and(<dyn std::error::Error + 'static>::is::<io::Error>)
        || words.starts_with("timeout")
        || words.starts_with("error performing TLS")
        || words.starts_with("unexpected message")
}

fn kind_of(code: &SqlState) -> Kind {
    match code.code() {
        "40001" | "40P01" | "55P03" => Kind::TakenBack,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Kind::Lost,
        // A standby that was the primary: the next connection finds the new one.
        "25006" | "57014" | "55000" => Kind::Unable,
        code => match &code[..2] {
            "08" => Kind::Lost,
            "28" | "53" | "58" | "3D" => Kind::Unable,
            "22" | "23" | "P0" => Kind::Wrong,
            _ => Kind::Defect,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_sorted_by_what_can_be_done_about_it() {
        let table = [
            (Kind::TakenBack, &["40001", "40P01", "55P03"][..]),
            (Kind::Lost, &["08006", "08003", "57P01", "57P02", "57P03"]),
            (Kind::Unable, &["53100", "53200", "53300", "25006", "57014", "58030", "28P01"]),
            (Kind::Wrong, &["22001", "22021", "23505", "23514", "P0001"]),
            (Kind::Defect, &["42601", "42P01", "25P02", "XX000", "0A000"]),
        ];

        for (expected, codes) in table {
            for code in codes {
                assert_eq!(kind_of(&SqlState::from_code(code)), expected, "{code}");
            }
        }
    }
}
