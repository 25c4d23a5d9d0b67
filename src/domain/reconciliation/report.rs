//! The results of a check and of a repair, as callers see them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::batch::{BatchId, BatchStatus};

/// How to check the items of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReconciliationOptions {
    /// Whether to check each code as well. Default: false.
    pub codes: bool,
    /// Whether to start a new check although a recent report exists. Default: false.
    pub refresh: bool,
}

/// Whether a check has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CheckState {
    /// A background task checks the items. The numbers are those of the items checked so far.
    Running,
    /// All items were checked.
    Finished,
}

/// Whether the codes were checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CodeCheck {
    /// The request did not ask for it.
    #[default]
    NotRequested,
    /// Each code was compared with the right one.
    Checked,
    /// The codes were made with another key than this process has, so none could be checked.
    OtherKey,
}

/// Consecutive ordinals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OrdinalRange {
    /// The first ordinal.
    pub from: u64,
    /// The last ordinal, inclusive.
    pub to: u64,
}

/// An item with another code than the key makes for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WrongCode {
    /// The item.
    pub ordinal: u64,
    /// The stored code.
    pub code: String,
    /// The right code.
    pub expected: String,
}

/// The items of a batch compared with its plan. It always holds that `planned` = `written` +
/// `failedChunks` + `toDo` + `cancelled` + `missing`, once the check has finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reconciliation {
    /// The batch.
    pub batch_id: BatchId,
    /// Whether the check has finished.
    pub state: CheckState,
    /// When the check started.
    pub started_at: DateTime<Utc>,
    /// When the check finished.
    pub checked_at: Option<DateTime<Utc>>,
    /// Number of items that were read so far.
    pub checked_items: u64,
    /// Whether the codes were checked.
    pub codes: CodeCheck,
    /// Number of requested items.
    pub planned: u64,
    /// Number of items that exist, without strangers.
    pub written: u64,
    /// Number of missing items of failed jobs. A retry writes them.
    pub failed_chunks: u64,
    /// Number of missing items of jobs that are not finished yet.
    pub to_do: u64,
    /// Number of items that a cancel left undone.
    pub cancelled: u64,
    /// Number of items that are gone although their job is completed. A repair writes them again.
    pub missing: u64,
    /// The ranges of `missing`, the first 1,000.
    pub gaps: Vec<OrdinalRange>,
    /// Number of all such ranges.
    pub gaps_found: u64,
    /// Whether more ranges were found than are listed.
    pub gaps_truncated: bool,
    /// The ranges of items beyond the requested quantity, the first 1,000. Only reported, never
    /// changed.
    pub strangers: Vec<OrdinalRange>,
    /// Number of all items beyond the requested quantity.
    pub strangers_found: u64,
    /// Whether more ranges of strangers were found than are listed.
    pub strangers_truncated: bool,
    /// The items with a wrong code, the first 1,000. Only reported, never changed.
    pub wrong_codes: Vec<WrongCode>,
    /// Number of all items with a wrong code.
    pub wrong_codes_found: u64,
    /// Whether more wrong codes were found than are listed.
    pub wrong_codes_truncated: bool,
}

/// The result of a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepairReport {
    /// The batch.
    pub batch_id: BatchId,
    /// Number of items that were missing.
    pub found: u64,
    /// Number of completed jobs that were recreated, each with all its attempts again.
    pub recreated: u64,
    /// The new ids of these jobs, at most 1,000.
    pub job_ids: Vec<String>,
    /// Whether more jobs were recreated than are listed.
    pub job_ids_truncated: bool,
    /// The status of the batch after the repair.
    pub status: BatchStatus,
}

impl RepairReport {
    /// Makes the report of a repair that found no gap.
    pub(crate) const fn empty(batch_id: BatchId, status: BatchStatus) -> Self {
        Self { batch_id, found: 0, recreated: 0, job_ids: Vec::new(), job_ids_truncated: false, status }
    }
}
