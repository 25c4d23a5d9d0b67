//! What operators see of an attempt: log messages, and progress updates in the queue.

use std::sync::Arc;

use tokio::time::Instant;

use super::{batch_log::MAX_LOGGED_JOBS, context::Context};
use crate::{
    domain::{Attempt, BatchId, BatchRecord, Failure},
    ledger::{AttemptResult, Work},
    queue::ProgressUpdate,
};

/// Logs an event of a job: at `info` in a batch of few jobs, otherwise at `debug`.
macro_rules! job_event {
    ($work:expr, $($event:tt)*) => {
        if $work.jobs_in_batch <= MAX_LOGGED_JOBS {
            tracing::info!($($event)*);
        } else {
            tracing::debug!($($event)*);
        }
    };
}

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
    pub fn inserted(&mut self, items: u64, work: &Work) -> Option<ProgressUpdate> {
        let tenth = |done| done * 10 / self.total;
        let (before, now) = (tenth(self.done), tenth(self.done + items));
        self.done += items;
        if now == before {
            return None;
        }
        let Self { batch, done, total } = *self;
        job_event!(work, done, total, "Processed {done}/{total} items for batch {batch}");
        let percent = u8::try_from(done * 100 / total).ok();
        Some(ProgressUpdate { percent, line: format!("Processed {done}/{total} items for batch {batch}") })
    }
}

/// Logs how many items exist, if the batch is large and a line is due. Does not wait for the
/// database.
pub(super) fn log_batch_progress(cx: &Arc<Context>, work: &Work) {
    let batch = work.claim.job.batch;
    if work.jobs_in_batch > MAX_LOGGED_JOBS && cx.batch_log.is_due(batch, Instant::now()) {
        let cx = cx.clone();
        tokio::spawn(async move {
            // A database that does not respond is logged elsewhere.
            if let Ok(record) = cx.ledger.batch(batch).await
                && !record.status.is_finished()
                && cx.batch_log.is_worth_a_line(batch, record.items_created, record.quantity)
            {
                log_items(&record);
            }
        });
    }
}

fn log_items(record: &BatchRecord) {
    let BatchRecord { batch_id: batch, items_created: items, quantity, .. } = *record;
    tracing::info!(%batch, items, quantity, "Processed {items}/{quantity} items for batch {batch}");
}

/// Logs the start of an attempt.
pub(super) fn log_start(work: &Work) {
    let (batch, first, last) = (work.claim.job.batch, work.range.start, work.range.end - 1);
    job_event!(work, first, last, "Starting batch generation for batch {batch}, items {first}-{last}");
}

/// Logs the recorded result of an attempt.
pub(super) fn log_result(work: &Work, attempt: Attempt, result: &AttemptResult) {
    let (job, items) = (work.claim.job, work.range.end - work.range.start);
    let (batch, attempts) = (job.batch, attempt.max);
    match result {
        AttemptResult::Completed => {
            job_event!(work, items, "Successfully generated {items} product items for batch {batch}");
            job_event!(work, "Job {job} completed successfully for batch {batch}");
        }
        // The chunks were logged with their errors.
        AttemptResult::Delayed { failure, delay } if !failure.chunks.is_empty() => {
            let failed_items = failure.chunks.items();
            tracing::info!(failed_items, ?delay, attempts, "Job {job} of batch {batch} will be tried again");
        }
        AttemptResult::Delayed { failure, delay } => {
            let error = &failure.reason;
            tracing::warn!(error, ?delay, attempts, "Job {job} failed for batch {batch}; it will be tried again");
        }
        AttemptResult::Failed(failure) => {
            let (error, failed_items) = (&failure.reason, failure.chunks.items());
            tracing::error!(error, attempts, failed_items, "Job {job} failed for batch {batch}");
        }
        AttemptResult::Released => job_event!(work, "Job {job} was released for batch {batch}"),
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
