//! One bounded read of a check.

use std::ops::Range;

use crate::domain::{
    batch::{BatchId, BatchStatus, Plan},
    job::JobState,
};

/// The maximum number of items on a page.
pub const PAGE_ITEMS: u64 = 10_000;

/// Items of a batch in order of their ordinals, and the jobs of the same ordinals, from one
/// snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPage {
    /// The batch.
    pub batch: BatchId,
    /// The status of the batch.
    pub status: BatchStatus,
    /// Number of requested items.
    pub quantity: u64,
    /// The plan; `None` in a batch without jobs.
    pub plan: Option<Plan>,
    /// The prefix of the codes.
    pub prefix: Option<String>,
    /// The fingerprint of the key that made the codes.
    pub key_fingerprint: Option<String>,
    /// The ordinals that the page covers. Beyond the quantity, it covers those of `items` only.
    pub range: Range<u64>,
    /// The items: ordinal, and code if the codes are checked.
    pub items: Vec<(u64, Option<String>)>,
    /// The existing jobs of the range, by number.
    pub jobs: Vec<JobSpan>,
    /// Where the next page starts; `None` after the last one.
    pub next: Option<u64>,
}

/// The state of the job number `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobSpan {
    /// The number of the job.
    pub seq: u64,
    /// Its state.
    pub state: JobState,
}

/// The state that a job without a row is treated as, in a batch with this status: the batch is not
/// planned yet, or the row was removed after `keep_history`.
#[must_use]
pub const fn absent_job(status: BatchStatus) -> JobState {
    match status {
        BatchStatus::Pending | BatchStatus::Running | BatchStatus::Paused => JobState::Waiting,
        BatchStatus::Completed => JobState::Completed,
        BatchStatus::Failed => JobState::Failed,
        BatchStatus::Cancelled => JobState::Cancelled,
    }
}

impl ItemPage {
    /// The parts of the range with the state of their job.
    pub(super) fn spans(&self) -> Vec<(Range<u64>, JobState)> {
        let end = self.range.end.min(self.quantity);
        let absent = absent_job(self.status);
        let Some(plan) = &self.plan else { return vec![(self.range.start..end, absent)] };
        let mut jobs = self.jobs.iter().peekable();
        let mut spans = Vec::new();
        for slice in plan.slices_within(&(self.range.start..end)) {
            while jobs.next_if(|job| job.seq < slice.seq).is_some() {}
            let state = jobs.next_if(|job| job.seq == slice.seq).map_or(absent, |job| job.state);
            let (first, last) = (slice.first.max(self.range.start), (slice.first + slice.quantity).min(end));
            spans.push((first..last, state));
        }
        spans
    }
}
