//! What may be seen of batches, jobs and items: the shapes that the ledger answers with, the host
//! reads and JSON shows.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BatchId, BatchStatus, FailedChunk, ItemOptions, JobCounts, Measured, Throughput, estimate, percent};

/// A batch as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Batch")]
pub struct BatchRecord {
    /// Its id.
    pub batch_id: BatchId,
    /// Where it stands.
    pub status: BatchStatus,
    /// How many items were asked for.
    pub quantity: u64,
    /// How they are made.
    pub options: ItemOptions,
    /// Its jobs by state; they sum to the number of its jobs, and are none before it is planned.
    pub jobs: JobCounts,
    /// How many of its items exist.
    pub items_created: u64,
    /// How often it was closed, which is more than once after a retry.
    pub round: u32,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When its first job was begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was over.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether the rows of its jobs were removed, as `keep_history` says: its failed jobs can't be
    /// listed or retried any more.
    pub history_removed: bool,
    /// What its attempts took so far.
    #[serde(skip)]
    pub measured: Measured,
}

/// A serialised product item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The batch it belongs to.
    pub batch_id: BatchId,
    /// Its place in the batch, from 0.
    pub ordinal: u64,
    /// What its QR code says.
    pub code: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// A job that was given up, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedJob {
    /// Its id, such as `b123-j4-g0`.
    pub job_id: String,
    /// Its number within the batch, from 0.
    pub seq: u64,
    /// Its first ordinal.
    pub first: u64,
    /// Its last ordinal, included.
    pub last: u64,
    /// How many of its items exist.
    pub items_created: u64,
    /// Attempts that failed.
    pub attempts: u32,
    /// How often a worker was lost with it, without a new item in between.
    pub crashes: u32,
    /// Why it was given up.
    pub error: String,
    /// The items that stayed unwritten because their chunk was set aside: the first 20 ranges.
    pub failed_chunks: Vec<FailedChunk>,
    /// How many chunks were set aside beyond those ranges.
    pub more_failed_chunks: u64,
    /// How many items these have.
    pub more_items: u64,
    /// When its last attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The number of jobs that one answer lists at most: a batch may have a hundred thousand.
pub(crate) const MAX_LISTED_JOBS: usize = 1_000;

/// What a manual retry did. `found` and `recreated` count all jobs; the lists hold the first 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryReport {
    /// The batch.
    pub batch_id: BatchId,
    /// Failed jobs that were there.
    pub found: u64,
    /// Those that were recreated, with fresh attempts.
    pub recreated: u64,
    /// Those that were not, and why; at most 1,000.
    pub skipped: Vec<SkippedJob>,
    /// Whether more jobs were skipped than are listed.
    pub skipped_truncated: bool,
    /// The ids of the recreated jobs, at most 1,000.
    pub job_ids: Vec<String>,
    /// Whether more jobs were recreated than are listed.
    pub job_ids_truncated: bool,
    /// The status of the batch now.
    pub status: BatchStatus,
}

impl RetryReport {
    /// Of a retry that found no failed jobs in a batch of this status.
    pub(crate) const fn of_none(batch_id: BatchId, status: BatchStatus) -> Self {
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

    /// The same report with lists that are short enough for an answer.
    pub(crate) fn truncated(mut self) -> Self {
        self.skipped_truncated = truncate(&mut self.skipped);
        self.job_ids_truncated = truncate(&mut self.job_ids);
        self
    }
}

/// Keeps the first [`MAX_LISTED_JOBS`] of `list`, and says whether there were more.
fn truncate<T>(list: &mut Vec<T>) -> bool {
    let is_longer = list.len() > MAX_LISTED_JOBS;
    list.truncate(MAX_LISTED_JOBS);
    is_longer
}

/// A failed job that a retry left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkippedJob {
    /// The job.
    pub job_id: String,
    /// Why.
    pub reason: String,
}

/// What the host is told by its hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum HookEvent {
    /// A batch is over.
    BatchFinished(BatchFinished),
    /// A job was given up.
    JobFailed(JobEnded),
    /// A job was completed.
    JobCompleted(JobEnded),
}

/// The end of a batch, as it was when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchFinished {
    /// The batch.
    pub batch_id: BatchId,
    /// How often it was over before: the second end, after a retry, is round 1.
    pub round: u32,
    /// `completed`, `failed` or `cancelled`.
    pub status: BatchStatus,
    /// How many items were asked for.
    pub quantity: u64,
    /// How many exist.
    pub items_created: u64,
    /// How many jobs were given up.
    pub failed_jobs: u64,
}

impl BatchFinished {
    /// The end that `over` just came to.
    pub(crate) const fn of(over: &BatchRecord) -> Self {
        Self {
            batch_id: over.batch_id,
            // Ending it raised the count.
            round: over.round.saturating_sub(1),
            status: over.status,
            quantity: over.quantity,
            items_created: over.items_created,
            failed_jobs: over.jobs.failed,
        }
    }
}

/// The end of a job, as it was when it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnded {
    /// The batch.
    pub batch_id: BatchId,
    /// The job's id, such as `b123-j4-g0`.
    pub job_id: String,
    /// Its number within the batch, from 0.
    pub seq: u64,
    /// Its first ordinal.
    pub first: u64,
    /// How many items it is about.
    pub quantity: u64,
    /// How many of them exist.
    pub items_created: u64,
    /// Attempts that failed.
    pub attempts: u32,
    /// Why it was given up.
    pub error: Option<String>,
}

/// How far a batch is. Jobs by state always sum to `total`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The batch.
    pub batch_id: BatchId,
    /// Where it stands.
    pub status: BatchStatus,
    /// All its jobs; none before it is planned.
    pub total: u64,
    /// Its jobs by state.
    #[serde(flatten)]
    pub jobs: JobCounts,
    /// Items asked for.
    pub items_total: u64,
    /// Items that exist.
    pub items_created: u64,
    /// The share of items that exist, rounded down; 100 only when the batch is over.
    #[schemars(range(max = 100))]
    pub percent: u8,
    /// Seconds until it is over, by what was measured so far; 0 when it is, none while it is paused
    /// or not planned yet.
    pub eta_seconds: Option<u64>,
    /// What all work in this process waits for, when it does.
    pub waiting_for: Option<WaitingFor>,
}

/// What work may be waiting for. No attempt is spent meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitingFor {
    /// The database does not answer.
    Database,
}

impl Progress {
    /// The progress of `batch`, when its jobs are worked at `throughput`.
    #[must_use]
    pub fn of(batch: &BatchRecord, throughput: &Throughput, waiting_for: Option<WaitingFor>) -> Self {
        let left = batch.quantity.saturating_sub(batch.items_created);
        let eta = match batch.status {
            BatchStatus::Paused => None,
            status if status.is_over() => Some(0),
            _ if batch.jobs.total() == 0 => None,
            _ => Some(estimate(batch.jobs.open(), left, 0, throughput, batch.measured).as_secs()),
        };
        Self {
            batch_id: batch.batch_id,
            status: batch.status,
            total: batch.jobs.total(),
            jobs: batch.jobs,
            items_total: batch.quantity,
            items_created: batch.items_created,
            percent: percent(batch.items_created, batch.quantity, batch.status.is_over()),
            eta_seconds: eta,
            waiting_for,
        }
    }
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
            ..RetryReport::of_none(batch, BatchStatus::Running)
        }
    }

    #[test]
    fn a_report_lists_the_first_thousand_jobs_of_each_kind_and_counts_all() {
        for (skipped, recreated) in [(0, 0), (1_000, 1_000), (1_001, 3), (3, 1_001), (2_000, 98_000)] {
            let report = of(skipped, recreated).truncated();

            assert_eq!((report.skipped.len(), report.skipped_truncated), (skipped.min(1_000), skipped > 1_000));
            assert_eq!((report.job_ids.len(), report.job_ids_truncated), (recreated.min(1_000), recreated > 1_000));
            assert_eq!((report.found, report.recreated), ((skipped + recreated) as u64, recreated as u64));
            assert_eq!(report.skipped.first(), of(skipped, recreated).skipped.first());
        }
    }
}
