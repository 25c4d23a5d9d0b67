//! The log of large batches: one line now and then, instead of several for each job.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::domain::BatchId;

/// The maximum number of jobs of a batch whose jobs are logged one by one.
pub(super) const MAX_LOGGED_JOBS: u64 = 50;

/// The minimum time between two lines about a batch.
const INTERVAL: Duration = Duration::from_secs(5);

/// The maximum number of lines about a batch: each needs this fraction of the items more than the
/// last one. So a slow batch logs no more lines than a fast one.
const MAX_LINES: u64 = 50;

/// What was last logged about the large batches that this process works on.
#[derive(Debug, Default)]
pub(crate) struct BatchLog(Mutex<HashMap<BatchId, Logged>>);

#[derive(Debug, Clone, Copy)]
struct Logged {
    read_at: Instant,
    items: u64,
}

impl BatchLog {
    /// Maximum number of batches. Beyond it all are forgotten, and their intervals start again.
    const MAX: usize = 1_000;

    /// Returns whether to read the items of `batch` now, and starts the next interval if so.
    pub(super) fn is_due(&self, batch: BatchId, now: Instant) -> bool {
        let mut batches = self.lock();
        if batches.len() >= Self::MAX && !batches.contains_key(&batch) {
            batches.clear();
        }
        let logged = batches.entry(batch).or_insert(Logged { read_at: now, items: 0 });
        let is_due = now >= logged.read_at + INTERVAL;
        if is_due {
            logged.read_at = now;
        }
        is_due
    }

    /// Returns whether `items` are enough more than in the last line, and stores them if so.
    pub(super) fn is_worth_a_line(&self, batch: BatchId, items: u64, quantity: u64) -> bool {
        let mut batches = self.lock();
        let Some(logged) = batches.get_mut(&batch) else { return false };
        let is_worth_it = items.saturating_sub(logged.items) >= quantity.div_ceil(MAX_LINES);
        if is_worth_it {
            logged.items = items;
        }
        is_worth_it
    }

    /// Forgets a finished batch.
    pub(super) fn finished(&self, batch: BatchId) {
        self.lock().remove(&batch);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BatchId, Logged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: i64 = 7;

    fn batch() -> BatchId {
        BatchId::new(BATCH).unwrap()
    }

    #[test]
    fn a_line_is_due_every_five_seconds_after_the_first_job() {
        let (log, start) = (BatchLog::default(), Instant::now());
        let due_after = |seconds| log.is_due(batch(), start + Duration::from_secs(seconds));

        assert_eq!([0, 4, 5, 6, 9, 10, 100, 104].map(due_after), [false, false, true, false, false, true, true, false]);
    }

    #[test]
    fn a_slow_batch_logs_at_most_fifty_lines() {
        let log = BatchLog::default();
        log.is_due(batch(), Instant::now());

        let lines = (1..=1_000).filter(|job| log.is_worth_a_line(batch(), job * 100, 100_000)).count();

        assert_eq!(lines, 50);
    }

    #[test]
    fn keeps_a_bounded_number_of_batches() {
        let (log, now) = (BatchLog::default(), Instant::now());

        (1..=3_000).for_each(|id| {
            log.is_due(BatchId::new(id).unwrap(), now);
        });

        assert!(log.lock().len() <= BatchLog::MAX);
    }
}
