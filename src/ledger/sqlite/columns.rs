//! Conversions between values of the domain and columns.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Error, Result, Row, RowIndex, types::Type};
use serde::de::DeserializeOwned;

use crate::domain::{BatchId, BatchStatus, JobState};
use crate::ledger::error::BoxError;

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    Utc::now().timestamp_millis()
}

/// A number as a column value. Larger numbers become the largest value, which no row has.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}

/// Reads a number. A negative one is an error; no column has any.
///
/// `rusqlite` reads a `u64` itself only in some versions, or with a feature.
pub(super) fn number(row: &Row<'_>, column: impl RowIndex) -> Result<u64> {
    unsigned(row.get(column)?)
}

/// Reads an optional number.
pub(super) fn optional_number(row: &Row<'_>, column: &str) -> Result<Option<u64>> {
    row.get::<_, Option<i64>>(column)?.map(unsigned).transpose()
}

// The number of the column is unknown here; the value suffices.
fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::IntegralValueOutOfRange(0, value))
}

/// Reads a duration in milliseconds.
pub(super) fn duration(row: &Row<'_>, column: &str) -> Result<Duration> {
    number(row, column).map(Duration::from_millis)
}

/// Reads a batch id.
pub(super) fn batch_id(row: &Row<'_>, column: &str) -> Result<BatchId> {
    BatchId::new(row.get(column)?).map_err(|invalid| wrong(Type::Integer, invalid))
}

/// Reads a batch status.
pub(super) fn status(row: &Row<'_>, column: &str) -> Result<BatchStatus> {
    let word = row.get_ref(column)?.as_str()?;
    BatchStatus::parse(word).ok_or_else(|| wrong(Type::Text, format!("`{word}` is not a status")))
}

/// Reads a job state.
pub(super) fn state(row: &Row<'_>, column: &str) -> Result<JobState> {
    let word = row.get_ref(column)?.as_str()?;
    JobState::parse(word).ok_or_else(|| wrong(Type::Text, format!("`{word}` is not a state")))
}

/// Reads an optional time.
pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Option<DateTime<Utc>>> {
    let Some(millis) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let time = DateTime::from_timestamp_millis(millis);
    time.map(Some).ok_or_else(|| wrong(Type::Integer, format!("{millis} is not a time")))
}

/// Reads a time.
pub(super) fn set_time(row: &Row<'_>, column: &str) -> Result<DateTime<Utc>> {
    time(row, column)?.ok_or_else(|| wrong(Type::Null, format!("{column} is not set")))
}

/// Reads a value stored as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| wrong(Type::Text, error))
}

/// Writes a value as JSON.
pub(super) fn as_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

// The number of the column is unknown here; the message suffices.
fn wrong(kind: Type, why: impl Into<BoxError>) -> Error {
    Error::FromSqlConversionFailure(0, kind, why.into())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_number_is_read_unless_it_is_negative_or_null() {
        let conn = Connection::open_in_memory().unwrap();
        let read = |sql: &str| conn.query_row(&format!("SELECT {sql} AS n"), [], |row| number(row, "n"));

        assert_eq!(read("9007199254740991").unwrap(), 9_007_199_254_740_991);
        assert!(matches!(read("-1"), Err(Error::IntegralValueOutOfRange(_, -1))));
        assert!(matches!(read("NULL"), Err(Error::InvalidColumnType(..))));
        let optional = conn.query_row("SELECT NULL AS n", [], |row| optional_number(row, "n"));
        assert_eq!(optional.unwrap(), None);
    }
}
