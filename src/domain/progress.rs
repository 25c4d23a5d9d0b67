//! How far a batch is, and how long the rest will take.
//!
//! Counts are disjoint and always sum to the total. An estimate is the later of two things: when
//! the rate limit lets the last job start, and when the workers are through with the items, at the
//! speed that was measured, or at an assumed one before anything ran.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{JobState, Throughput};

/// The jobs of a batch by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JobCounts {
    /// Ready for a worker.
    pub waiting: u64,
    /// In a worker's hands.
    pub active: u64,
    /// To be tried again later.
    pub delayed: u64,
    /// All items written.
    pub completed: u64,
    /// Given up, with reasons.
    pub failed: u64,
    /// Ended by a cancel.
    pub cancelled: u64,
}

impl JobCounts {
    /// All jobs of the batch.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.open() + self.completed + self.failed + self.cancelled
    }

    /// The jobs that are still to end.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.waiting + self.active + self.delayed
    }

    /// The count of one state.
    pub const fn of(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Waiting => &mut self.waiting,
            JobState::Active => &mut self.active,
            JobState::Delayed => &mut self.delayed,
            JobState::Completed => &mut self.completed,
            JobState::Failed => &mut self.failed,
            JobState::Cancelled => &mut self.cancelled,
        }
    }
}

/// What the workers did so far: items written, and the time that attempts took, added up over all
/// workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Items written.
    pub items: u64,
    /// Time spent in attempts.
    pub worked: Duration,
}

impl Measured {
    /// Items a second that one worker writes, before anything was measured. A cautious figure for
    /// an ordinary disk.
    const ASSUMED_ITEMS_PER_SECOND: f64 = 10_000.0;
    /// Less than this says nothing.
    const LEAST: Duration = Duration::from_millis(20);

    fn items_per_second(&self) -> f64 {
        if self.items == 0 || self.worked < Self::LEAST {
            return Self::ASSUMED_ITEMS_PER_SECOND;
        }
        self.items as f64 / self.worked.as_secs_f64()
    }
}

/// The time until the last of `jobs` jobs is done, in whole seconds and at least one, when `ahead`
/// jobs of other batches come in between.
#[must_use]
pub fn estimate(jobs: u64, items: u64, ahead: u64, throughput: &Throughput, measured: Measured) -> Duration {
    if jobs == 0 {
        return Duration::ZERO;
    }
    let items_per_job = items as f64 / jobs as f64;
    let per_job = items_per_job / measured.items_per_second();
    let working = (jobs + ahead) as f64 * per_job / f64::from(throughput.concurrency.max(1));
    let last_start = throughput.rate_limit.map_or(Duration::ZERO, |limit| limit.start_of(jobs + ahead - 1));
    let seconds = working.max(last_start.as_secs_f64() + per_job);
    // A hair above a whole second is that second.
    Duration::from_secs(((seconds - 0.05).ceil() as u64).max(1))
}

/// A duration in words: whole seconds below two minutes, then minutes rounded up.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        1 => "1 second".into(),
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// The share of items that exist, rounded down; 100 only when the batch is over.
#[must_use]
pub const fn percent(created: u64, total: u64, over: bool) -> u8 {
    if total == 0 {
        return 0;
    }
    let floored = (created as u128 * 100 / total as u128) as u8;
    if floored >= 100 && !over { 99 } else { floored }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::RateLimit;

    const SPECIFIED: Throughput =
        Throughput { concurrency: 2, rate_limit: Some(RateLimit { jobs: 5, per: Duration::from_secs(10) }) };
    const UNLIMITED: Throughput = Throughput { concurrency: 2, rate_limit: None };

    #[test]
    fn the_rate_limit_decides_before_anything_ran() {
        let nothing = Measured::default();

        assert_eq!(estimate(50, 5_000, 0, &SPECIFIED, nothing).as_secs(), 90);
        assert_eq!(estimate(5, 500, 0, &SPECIFIED, nothing).as_secs(), 1);
        assert_eq!(estimate(5, 500, 5, &SPECIFIED, nothing).as_secs(), 10);
        assert_eq!(estimate(3_000, 300_000, 0, &SPECIFIED, nothing).as_secs(), 5_990);
        assert_eq!(estimate(0, 0, 0, &SPECIFIED, nothing).as_secs(), 0);
    }

    #[test]
    fn what_was_measured_decides_afterwards() {
        let slow = Measured { items: 1_000, worked: Duration::from_secs(10) };

        // 100 items a second and worker, two workers.
        assert_eq!(estimate(100, 10_000, 0, &UNLIMITED, slow).as_secs(), 50);
        assert_eq!(estimate(50, 5_000, 0, &SPECIFIED, slow).as_secs(), 91);
    }

    #[test]
    fn durations_read_well() {
        let table =
            [(1, "1 second"), (90, "90 seconds"), (119, "119 seconds"), (120, "2 minutes"), (5_990, "100 minutes")];

        for (seconds, words) in table {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    proptest! {
        #[test]
        fn a_percentage_is_100_only_at_the_end(total in 1_u64..20_000_000, part in 0.0_f64..=1.0) {
            let created = (total as f64 * part) as u64;

            prop_assert!(percent(created, total, false) < 100);
            prop_assert!(u64::from(percent(created, total, true)) <= created * 100 / total);
            prop_assert_eq!(percent(total, total, true), 100);
        }
    }
}
