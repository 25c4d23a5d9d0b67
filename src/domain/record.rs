//! Batches, jobs and items as the ledger returns them, hosts read them and JSON shows them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    batch::{BatchId, BatchStatus, ItemOptions},
    job::{FailedChunk, JobState},
    progress::{Activity, JobCounts, Measured},
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

/// The maximum number of jobs in each list of a response. A batch may have 100,000 jobs.
pub(crate) const MAX_LISTED_JOBS: usize = 1_000;

/// The result of a retry. `found` and `recreated` count all jobs; each list has the first 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RetryReport {
    /// The batch.
    pub batch_id: BatchId,
    /// Number of failed jobs of the batch.
    pub found: u64,
    /// Number of recreated jobs, each with all its attempts again.
    pub recreated: u64,
    /// The jobs that were not recreated, with the reason; at most 1,000.
    pub skipped: Vec<SkippedJob>,
    /// Whether more jobs were skipped than are listed.
    pub skipped_truncated: bool,
    /// The ids of the recreated jobs, at most 1,000.
    pub job_ids: Vec<String>,
    /// Whether more jobs were recreated than are listed.
    pub job_ids_truncated: bool,
    /// The status of the batch after the retry.
    pub status: BatchStatus,
}

impl RetryReport {
    /// Makes the report of a retry that found no failed jobs.
    pub(crate) const fn empty(batch_id: BatchId, status: BatchStatus) -> Self {
        Self {
            batch_id,
            found: 0,
            recreated: 0,
            skipped: Vec::new(),
            skipped_truncated: false,
            job_ids: Vec::new(),
            job_ids_truncated: false,
            status,
        }
    }

    /// Returns the report with at most 1,000 jobs in each list.
    pub(crate) fn truncated(mut self) -> Self {
        self.skipped_truncated = truncate(&mut self.skipped);
        self.job_ids_truncated = truncate(&mut self.job_ids);
        self
    }
}

/// Truncates `list` to [`MAX_LISTED_JOBS`]. Returns whether it was longer.
fn truncate<T>(list: &mut Vec<T>) -> bool {
    let is_longer = list.len() > MAX_LISTED_JOBS;
    list.truncate(MAX_LISTED_JOBS);
    is_longer
}

/// A failed job that a retry did not recreate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SkippedJob {
    /// The job.
    pub job_id: String,
    /// Why it was not recreated.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(skipped: usize, recreated: usize) -> RetryReport {
        let batch = BatchId::new(7).unwrap();
        let skip = |seq| SkippedJob { job_id: format!("b7-j{seq}-g0"), reason: "it is completed now".into() };
        RetryReport {
            found: (skipped + recreated) as u64,
            recreated: recreated as u64,
            skipped: (0..skipped).map(skip).collect(),
            job_ids: (skipped..skipped + recreated).map(|seq| format!("b7-j{seq}-g1")).collect(),
            ..RetryReport::empty(batch, BatchStatus::Running)
        }
    }

    #[test]
    fn lists_the_first_1000_jobs_of_each_kind_and_counts_all() {
        for (skipped, recreated) in [(0, 0), (1_000, 1_000), (1_001, 3), (3, 1_001), (2_000, 98_000)] {
            let report = of(skipped, recreated).truncated();

            assert_eq!((report.skipped.len(), report.skipped_truncated), (skipped.min(1_000), skipped > 1_000));
            assert_eq!((report.job_ids.len(), report.job_ids_truncated), (recreated.min(1_000), recreated > 1_000));
            assert_eq!((report.found, report.recreated), ((skipped + recreated) as u64, recreated as u64));
            assert_eq!(report.skipped.first(), of(skipped, recreated).skipped.first());
        }
    }
}
