//! The columns of a row as values of the domain, for the rows of either database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};

use super::error::{BoxError, LedgerError, failed};
use crate::domain::{BatchId, BatchStatus, JobState};

/// A row of a query. Each database implements the first methods, the others follow from them.
pub(super) trait Columns {
    /// The database's error.
    type Error;

    /// The error of a stored value that this version can't read.
    fn unreadable(why: impl Into<BoxError>) -> Self::Error;

    /// Reads a number that may be missing.
    fn optional_integer(&self, column: &str) -> Result<Option<i64>, Self::Error>;

    /// Reads a small number that is never negative.
    fn small(&self, column: &str) -> Result<u32, Self::Error>;

    /// Reads a text that may be missing, without a copy.
    fn text(&self, column: &str) -> Result<Option<&str>, Self::Error>;

    /// Reads a boolean.
    fn flag(&self, column: &str) -> Result<bool, Self::Error>;

    /// Reads a time that may be missing.
    fn optional_time(&self, column: &str) -> Result<Option<DateTime<Utc>>, Self::Error>;

    /// Reads a number.
    fn integer(&self, column: &str) -> Result<i64, Self::Error> {
        present(self.optional_integer(column)?, column).map_err(Self::unreadable)
    }

    /// Reads a number that is never negative and may be missing.
    fn optional_number(&self, column: &str) -> Result<Option<u64>, Self::Error> {
        self.optional_integer(column)?.map(u64::try_from).transpose().map_err(Self::unreadable)
    }

    /// Reads a number that is never negative.
    fn number(&self, column: &str) -> Result<u64, Self::Error> {
        present(self.optional_number(column)?, column).map_err(Self::unreadable)
    }

    /// Reads a text that may be missing.
    fn optional_string(&self, column: &str) -> Result<Option<String>, Self::Error> {
        Ok(self.text(column)?.map(str::to_owned))
    }

    /// Reads a text.
    fn string(&self, column: &str) -> Result<String, Self::Error> {
        Ok(self.word(column)?.to_owned())
    }

    /// Reads a text without a copy.
    fn word(&self, column: &str) -> Result<&str, Self::Error> {
        present(self.text(column)?, column).map_err(Self::unreadable)
    }

    /// Reads a time.
    fn time(&self, column: &str) -> Result<DateTime<Utc>, Self::Error> {
        present(self.optional_time(column)?, column).map_err(Self::unreadable)
    }

    /// Reads a duration in milliseconds. A negative one is zero: the clock was set back.
    fn duration(&self, column: &str) -> Result<Duration, Self::Error> {
        Ok(Duration::from_millis(u64::try_from(self.integer(column)?).unwrap_or_default()))
    }

    /// Reads a batch id.
    fn batch_id(&self, column: &str) -> Result<BatchId, Self::Error> {
        BatchId::new(self.integer(column)?).map_err(Self::unreadable)
    }

    /// Reads a batch status.
    fn status(&self, column: &str) -> Result<BatchStatus, Self::Error> {
        self.word(column)?.parse().map_err(Self::unreadable)
    }

    /// Reads a job state.
    fn state(&self, column: &str) -> Result<JobState, Self::Error> {
        let word = self.word(column)?;
        JobState::parse(word).ok_or_else(|| Self::unreadable(format!("`{word}` is not a state")))
    }

    /// Reads a value stored as JSON.
    fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, Self::Error> {
        serde_json::from_str(self.word(column)?).map_err(Self::unreadable)
    }
}

fn present<T>(value: Option<T>, column: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("{column} is not set"))
}

/// A number as a column value. Larger numbers become the largest value, which no row has.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}

/// Writes a value as JSON.
pub(super) fn as_json(value: &impl Serialize) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| failed("write JSON", error))
}
