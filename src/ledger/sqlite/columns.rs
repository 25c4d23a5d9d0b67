//! The columns of SQLite's rows, and values as its parameters.

use chrono::{DateTime, Utc};
use rusqlite::{Error, Result, Row, types::Type};

use crate::ledger::{columns::Columns, error::BoxError};

impl Columns for Row<'_> {
    type Error = Error;

    // The number of the column and its type are unknown here; the message suffices.
    fn unreadable(why: impl Into<BoxError>) -> Error {
        Error::FromSqlConversionFailure(0, Type::Null, why.into())
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        self.get(column)
    }

    fn small(&self, column: &str) -> Result<u32> {
        self.get(column)
    }

    fn text(&self, column: &str) -> Result<Option<&str>> {
        Ok(self.get_ref(column)?.as_str_or_null()?)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        self.get(column)
    }

    fn optional_time(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        let Some(millis) = self.optional_integer(column)? else { return Ok(None) };
        let time = DateTime::from_timestamp_millis(millis);
        time.map(Some).ok_or_else(|| Self::unreadable(format!("{millis} is not a time")))
    }
}

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    Utc::now().timestamp_millis()
}
