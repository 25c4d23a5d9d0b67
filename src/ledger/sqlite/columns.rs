//! How values of the domain stand in columns.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Error, Result, Row, types::Type};
use serde::de::DeserializeOwned;

use crate::domain::{BatchId, BatchStatus, JobState};
use crate::ledger::BoxError;

/// Now, in milliseconds since 1970.
pub(super) fn now() -> i64 {
    Utc::now().timestamp_millis()
}

/// A number of the domain as a key. No row has the largest one, so whatever is beyond finds
/// nothing.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A span in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}

/// A batch's id.
pub(super) fn batch_id(row: &Row<'_>, column: &str) -> Result<BatchId> {
    BatchId::new(row.get(column)?).map_err(|invalid| wrong(Type::Integer, invalid))
}

/// A status by its word.
pub(super) fn status(row: &Row<'_>, column: &str) -> Result<BatchStatus> {
    let word = row.get_ref(column)?.as_str()?;
    BatchStatus::parse(word).ok_or_else(|| wrong(Type::Text, format!("`{word}` is no status")))
}

/// A state by its word.
pub(super) fn state(row: &Row<'_>, column: &str) -> Result<JobState> {
    let word = row.get_ref(column)?.as_str()?;
    JobState::parse(word).ok_or_else(|| wrong(Type::Text, format!("`{word}` is no state")))
}

/// A time, if there is one.
pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Option<DateTime<Utc>>> {
    let Some(millis) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    let time = DateTime::from_timestamp_millis(millis);
    time.map(Some).ok_or_else(|| wrong(Type::Integer, format!("{millis} is no time")))
}

/// A time that is always there.
pub(super) fn set_time(row: &Row<'_>, column: &str) -> Result<DateTime<Utc>> {
    time(row, column)?.ok_or_else(|| wrong(Type::Null, format!("{column} is not set")))
}

/// A value that stands as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| wrong(Type::Text, error))
}

/// A value as JSON.
pub(super) fn as_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(error.into()))
}

// The number of the column is not known here, and the message says enough.
fn wrong(kind: Type, why: impl Into<BoxError>) -> Error {
    Error::FromSqlConversionFailure(0, kind, why.into())
}
