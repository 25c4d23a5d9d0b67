//! The columns of PostgreSQL's rows, and values as its parameters.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::error::{Result, VerbError, unreadable};
use crate::ledger::{columns::Columns, error::BoxError};

impl Columns for Row {
    type Error = VerbError;

    fn unreadable(why: impl Into<BoxError>) -> VerbError {
        unreadable(why)
    }

    fn optional_integer(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }

    fn small(&self, column: &str) -> Result<u32> {
        let number: i32 = self.try_get(column)?;
        u32::try_from(number).map_err(unreadable)
    }

    fn text(&self, column: &str) -> Result<Option<&str>> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &str) -> Result<bool> {
        Ok(self.try_get(column)?)
    }

    fn optional_time(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(self.try_get(column)?)
    }
}

/// A small number as a column value.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Replaces NUL in a text of the host, such as the message of a panic. PostgreSQL can't store NUL,
/// and recording a result must not fail for it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}
