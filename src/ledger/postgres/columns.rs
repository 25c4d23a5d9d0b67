//! Conversions between values of the domain and columns.

use std::{borrow::Cow, time::Duration};

use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::error::{Result, failed, unreadable};
use crate::domain::{BatchId, BatchStatus, JobState};

/// A number as a column value. Larger numbers become the largest value, which no row has.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A duration in milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    u64::try_from(span.as_millis()).map_or(i64::MAX, key)
}

/// A small number as a column value.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Reads a number that is never negative.
pub(super) fn number(row: &Row, column: &str) -> Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(unreadable)
}

/// Reads a small number that is never negative.
pub(super) fn small_number(row: &Row, column: &str) -> Result<u32> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(unreadable)
}

/// Reads a batch id.
pub(super) fn batch_id(row: &Row, column: &str) -> Result<BatchId> {
    BatchId::new(row.try_get(column)?).map_err(unreadable)
}

/// Reads a batch status.
pub(super) fn status(row: &Row, column: &str) -> Result<BatchStatus> {
    let word: &str = row.try_get(column)?;
    BatchStatus::parse(word).ok_or_else(|| unreadable(format!("`{word}` is not a status")))
}

/// Reads a job state.
pub(super) fn state(row: &Row, column: &str) -> Result<JobState> {
    let word: &str = row.try_get(column)?;
    JobState::parse(word).ok_or_else(|| unreadable(format!("`{word}` is not a state")))
}

/// Reads a value stored as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(unreadable)
}

/// Writes a value as JSON.
pub(super) fn as_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| failed("write JSON", error).into())
}

/// Replaces NUL in a text of the host, such as the message of a panic. PostgreSQL can't store NUL,
/// and recording a result must not fail for it.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}
