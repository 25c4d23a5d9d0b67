//! How values of the domain stand in columns.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::error::{Result, broken, unreadable};
use crate::domain::{BatchId, BatchStatus, JobState};

/// A number of the domain as a key. No row has the largest one, so whatever is beyond finds
/// nothing.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A small number of the domain.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A count or a place; none is negative.
pub(super) fn number(row: &Row, column: &str) -> Result<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(unreadable)
}

/// A small count; none is negative.
pub(super) fn small_number(row: &Row, column: &str) -> Result<u32> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(unreadable)
}

/// A batch's id.
pub(super) fn batch_id(row: &Row, column: &str) -> Result<BatchId> {
    BatchId::new(row.try_get(column)?).map_err(unreadable)
}

/// A status by its word.
pub(super) fn status(row: &Row, column: &str) -> Result<BatchStatus> {
    let word: &str = row.try_get(column)?;
    BatchStatus::parse(word).ok_or_else(|| unreadable(format!("`{word}` is no status")))
}

/// A state by its word.
pub(super) fn state(row: &Row, column: &str) -> Result<JobState> {
    let word: &str = row.try_get(column)?;
    JobState::parse(word).ok_or_else(|| unreadable(format!("`{word}` is no state")))
}

/// A value that stands as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(unreadable)
}

/// A value as JSON.
pub(super) fn as_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| broken("write JSON", error).into())
}

/// A text of somebody else's, such as the message of a panic. Postgres stores no NUL, and a
/// settlement must not fail for one.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{FFFD}").into() } else { text.into() }
}
