//! What operators see of an attempt: log messages, and progress updates in the queue.

use crate::{
    domain::{Attempt, BatchId, Failure},
    ledger::{AttemptResult, Work},
    queue::ProgressUpdate,
};

/// Reports the progress of a job: after every chunk of a small job, at every tenth of a large one.
pub(super) struct ProgressReporter {
    batch: BatchId,
    done: u64,
    total: u64,
}

impl ProgressReporter {
    /// Makes a reporter. Items that were inserted together with the claim are not counted yet.
    pub fn new(work: &Work) -> Self {
        let total = work.range.end - work.range.start;
        let missing: u64 = work.missing.iter().map(|range| range.end - range.start).sum();
        Self { batch: work.claim.job.batch, done: (total - missing).saturating_sub(work.inserted), total }
    }

    /// Counts inserted items. When the next tenth is reached, logs the progress and returns it.
    pub fn inserted(&mut self, items: u64) -> Option<ProgressUpdate> {
        let tenth = |done| done * 10 / self.total;
        let (before, now) = (tenth(self.done), tenth(self.done + items));
        self.done += items;
        if now == before {
            return None;
        }
        let Self { batch, done, total } = *self;
        tracing::info!(done, total, "Processed {done}/{total} items for batch {batch}");
        let percent = u8::try_from(done * 100 / total).ok();
        Some(ProgressUpdate { percent, line: format!("Processed {done}/{total} items for batch {batch}") })
    }
}

/// Logs the start of an attempt.
pub(super) fn log_start(work: &Work) {
    let (batch, first, last) = (work.claim.job.batch, work.range.start, work.range.end - 1);
    tracing::info!(first, last, "Starting batch generation for batch {batch}, items {first}-{last}");
}

/// Logs the recorded result of an attempt.
pub(super) fn log_result(work: &Work, attempt: Attempt, result: &AttemptResult) {
    let (job, items) = (work.claim.job, work.range.end - work.range.start);
    let (batch, attempts) = (job.batch, attempt.max);
    match result {
        AttemptResult::Completed => {
            tracing::info!(items, "Successfully generated {items} product items for batch {batch}");
            tracing::info!("Job {job} completed successfully for batch {batch}");
        }
        AttemptResult::Delayed { failure, delay } => {
            let error = &failure.reason;
            tracing::warn!(error, ?delay, attempts, "Job {job} failed for batch {batch}; it will be tried again");
        }
        AttemptResult::Failed(failure) => {
            let (error, failed_items) = (&failure.reason, failure.chunks.items());
            tracing::error!(error, attempts, failed_items, "Job {job} failed for batch {batch}");
        }
        AttemptResult::Released => tracing::info!("Job {job} was released for batch {batch}"),
    }
}

/// Describes a failed attempt in one line: the reason and the first failed chunks.
pub(super) fn failure_update(attempt: Attempt, failure: &Failure) -> ProgressUpdate {
    const SHOWN: usize = 10;
    let mut line = format!("Attempt {} of {} failed: {}", attempt.number(), attempt.max, failure.reason);
    let ranges = failure.chunks.ranges.iter().map(|chunk| format!("{} to {}", chunk.from, chunk.to));
    let shown: Vec<_> = ranges.take(SHOWN).collect();
    if !shown.is_empty() {
        line.push_str("; failed chunks: items ");
        line.push_str(&shown.join(", "));
    }
    let more = failure.chunks.ranges.len().saturating_sub(SHOWN) as u64 + failure.chunks.unlisted_chunks;
    let line = if more > 0 { format!("{line} and {more} more") } else { line };
    ProgressUpdate { percent: None, line }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::domain::{FailedChunk, FailedChunks};

    #[test]
    fn describes_a_failed_attempt_in_one_line() {
        let attempt = Attempt { failed: 1, max: 3 };
        let chunk = |at: u64| FailedChunk::new(at * 100, at * 100 + 49, 3, "no".into());
        let failed =
            |chunks: Range<u64>| failure_update(attempt, &chunks.map(chunk).collect::<FailedChunks>().into()).line;

        assert_eq!(failure_update(attempt, &Failure::because("gone")).line, "Attempt 2 of 3 failed: gone");
        assert_eq!(
            failed(0..2),
            "Attempt 2 of 3 failed: 100 items could not be written: no; failed chunks: items 0 to 49, 100 to 149"
        );
        assert!(failed(0..12).ends_with("900 to 949 and 2 more"));
        assert!(failed(0..30).ends_with("900 to 949 and 20 more"));
    }
}
