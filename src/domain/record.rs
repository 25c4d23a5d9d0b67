//! Batches, jobs and items as the ledger returns them, hosts read them and JSON shows them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    batch::{BatchId, BatchStatus, ItemOptions},
    job::{FailedChunk, JobState},
    progress::{Activity, JobCounts, Measured},
    retry::RetryOptions,
};

/// A batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Batch")]
#[non_exhaustive]
pub struct BatchRecord {
    /// The id of the batch.
    pub batch_id: BatchId,
    /// The status of the batch.
    pub status: BatchStatus,
    /// Number of requested items.
    pub quantity: u64,
    /// How the items are generated.
    pub options: ItemOptions,
    /// Number of jobs by state. All zero before the batch is planned.
    pub jobs: JobCounts,
    /// Number of items that exist.
    pub items_created: u64,
    /// The number of times that the batch was closed: 0 until it finishes, 1 when it finishes, and
    /// one more each time it finishes after a retry.
    pub round: u32,
    /// When the batch was accepted.
    pub created_at: DateTime<Utc>,
    /// When the first job started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the batch finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why the batch failed.
    pub error: Option<String>,
    /// The last error of the host's finish hook, while it keeps the batch from finishing. The hook
    /// is called again.
    pub hook_error: Option<String>,
    /// Whether the rows of the jobs were removed after `keep_history`. The failed jobs can then no
    /// longer be listed or retried.
    pub history_removed: bool,
    /// Whether a repair recreated jobs of the latest round.
    #[serde(skip)]
    #[doc(hidden)]
    pub repaired: bool,
    /// The work done so far.
    #[serde(skip)]
    #[doc(hidden)]
    pub measured: Measured,
    /// What workers did lately.
    #[serde(skip)]
    #[doc(hidden)]
    pub activity: Activity,
}

/// A serialised product item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Item {
    /// The batch of the item.
    pub batch_id: BatchId,
    /// The position of the item in the batch, from 0.
    pub ordinal: u64,
    /// The code of the item.
    pub code: String,
    /// When the item was created.
    pub created_at: DateTime<Utc>,
}

/// A job that failed permanently: no attempt is left, the configuration must be corrected, or the
/// job lost its worker too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailedJob {
    /// The id of the job, such as `b123-j4-g0`.
    pub job_id: String,
    /// The number of the job within the batch, from 0.
    pub seq: u64,
    /// The first ordinal of the job.
    pub first: u64,
    /// The last ordinal of the job, inclusive.
    pub last: u64,
    /// Number of its items that exist.
    pub items_created: u64,
    /// Number of failed attempts.
    pub attempts: u32,
    /// Number of crashes of workers during the job since its last new item.
    pub crashes: u32,
    /// Why the job failed.
    pub error: String,
    /// The items that are missing because their chunk failed: the first 20 ranges.
    pub failed_chunks: Vec<FailedChunk>,
    /// Number of failed chunks that `failedChunks` does not list.
    pub more_failed_chunks: u64,
    /// Number of items in the failed chunks that `failedChunks` does not list.
    pub more_items: u64,
    /// When the last attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the job failed.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Job")]
#[non_exhaustive]
pub struct JobRecord {
    /// The id of the job, such as `b123-j4-g0`.
    pub job_id: String,
    /// The number of the job within the batch, from 0.
    pub seq: u64,
    /// The first ordinal of the job.
    pub first: u64,
    /// The last ordinal of the job, inclusive.
    pub last: u64,
    /// Number of items of the job.
    pub quantity: u64,
    /// Number of its items that exist.
    pub items_created: u64,
    /// The state of the job.
    pub state: JobState,
    /// Number of failed attempts.
    pub attempts: u32,
    /// How often a worker crashed during the job since the last new item.
    pub crashes: u32,
    /// When the last attempt started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the job finished.
    pub finished_at: Option<DateTime<Utc>>,
    /// The earliest time of the next attempt, while the job is delayed.
    pub not_before: Option<DateTime<Utc>>,
    /// Why the last failed attempt failed.
    pub error: Option<String>,
}

/// Failed jobs whose errors differ only in numbers, codes and quoted values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailureGroup {
    /// The id of the group, the same in every batch: 16 hexadecimal digits. `failed-jobs` and a
    /// retry take it.
    #[schemars(regex(pattern = RetryOptions::GROUP_PATTERN))]
    pub group: String,
    /// What the errors have in common: `N` stands for a number, `ID` for another word with digits
    /// or a long hexadecimal word, and `"…"` for a quoted value. At most 200 characters.
    pub title: String,
    /// Number of failed jobs.
    pub jobs: u64,
    /// Number of their items that do not exist.
    pub items_missing: u64,
    /// When the first of these jobs failed.
    pub first_seen: DateTime<Utc>,
    /// When the last of these jobs failed.
    pub last_seen: DateTime<Utc>,
    /// One of these jobs: the one with the lowest number.
    pub example: FailureExample,
}

/// A failed job of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailureExample {
    /// The id of the job, such as `b123-j4-g0`.
    pub job_id: String,
    /// Why the job failed.
    pub error: String,
}

/// The states of the jobs of a batch at a glance, in at most 1,000 cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobMap {
    /// Number of jobs of the batch; 0 before it is planned.
    pub jobs: u64,
    /// Number of jobs per cell. The last cell may have fewer.
    #[schemars(range(min = 1))]
    pub jobs_per_cell: u64,
    /// The cells in the order of the job numbers: cell 0 has the jobs from 0 to `jobsPerCell` - 1.
    /// A cell shows the state of one of its jobs, the first of: failed, active, delayed, waiting,
    /// cancelled, completed.
    #[schemars(length(max = JobMap::MAX_CELLS))]
    pub cells: Vec<JobState>,
}

impl JobMap {
    /// The maximum number of cells.
    pub(crate) const MAX_CELLS: u64 = 1_000;

    /// Returns how many jobs each cell of a batch with this many jobs has.
    pub(crate) const fn jobs_per_cell(jobs: u64) -> u64 {
        let per_cell = jobs.div_ceil(Self::MAX_CELLS);
        if per_cell == 0 { 1 } else { per_cell }
    }
}
