//! Job counts, and the estimated time until a batch is finished.
//!
//! Each job is counted in exactly one state, so the counts always sum to the total. An estimate is
//! the longer of two durations: until the last job that the rate limit allows has started and run,
//! and until the workers have written all items. The speed of the workers is measured, or assumed
//! before anything was measured.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::job::{JobState, Throughput};

/// The number of jobs of a batch by state.
//
// Exhaustive, because a job has exactly these states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct JobCounts {
    /// Ready for a worker.
    pub waiting: u64,
    /// Claimed by a worker.
    pub active: u64,
    /// Waiting for the next attempt.
    pub delayed: u64,
    /// All items exist.
    pub completed: u64,
    /// Failed permanently.
    pub failed: u64,
    /// Cancelled with the batch.
    pub cancelled: u64,
}

impl JobCounts {
    /// Returns the number of all jobs.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.open() + self.completed + self.failed + self.cancelled
    }

    /// Returns the number of unfinished jobs.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.waiting + self.active + self.delayed
    }

    /// Returns the count of jobs in `state`, to be changed.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "PostgreSQL counts in columns"))]
    pub(crate) const fn count_mut(&mut self, state: JobState) -> &mut u64 {
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

/// The work done so far: items written, and the time of the attempts, summed over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(unnameable_types, reason = "only a hidden field of a record has it, which the tests of the ledger read")]
pub struct Measured {
    /// Number of items written.
    pub items: u64,
    /// Total duration of the attempts.
    pub worked: Duration,
}

impl Measured {
    /// Items per second and worker before anything was measured: a cautious value for an ordinary
    /// disk.
    const ASSUMED_ITEMS_PER_SECOND: f64 = 10_000.0;
    /// The shortest measured time that is used.
    const MIN_WORKED: Duration = Duration::from_millis(20);

    /// Returns how long one worker needs for `items`.
    pub(super) fn duration_of(&self, items: u64) -> Duration {
        Duration::try_from_secs_f64(items as f64 / self.items_per_second()).unwrap_or(Duration::MAX)
    }

    fn items_per_second(&self) -> f64 {
        if self.items == 0 || self.worked < Self::MIN_WORKED {
            return Self::ASSUMED_ITEMS_PER_SECOND;
        }
        self.items as f64 / self.worked.as_secs_f64()
    }
}

/// What workers did in a batch lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(unnameable_types, reason = "only a hidden field of a record has it")]
pub struct Activity {
    /// Number of items inserted in the last ten seconds. 0 for a finished batch.
    pub recent_items: u64,
    /// When the last item was inserted, to within a second.
    pub last_item_at: Option<DateTime<Utc>>,
}

impl Activity {
    /// The period of `recent_items`, in seconds.
    const SECONDS: u64 = 10;

    /// Returns the items per second of the last ten seconds, or since `started_at` if that is
    /// later, rounded up.
    pub(super) fn items_per_second(&self, started_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> u64 {
        let age = started_at.map_or(0, |started| (now - started).num_seconds());
        self.recent_items.div_ceil(u64::try_from(age).unwrap_or_default().clamp(1, Self::SECONDS))
    }
}

/// The longest estimate, in seconds: about 30,000 years.
const MAX_SECONDS: f64 = 1e12;

/// Estimates the time until the last of `jobs` jobs is finished, if `ahead` jobs of other batches
/// run first. Whole seconds, at least one; zero if `jobs` is 0.
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
    // Rounds up, except for less than 50 ms above a whole second.
    Duration::from_secs_f64((seconds - 0.05).ceil().clamp(1.0, MAX_SECONDS))
}

/// Writes a duration in words: whole seconds below two minutes, then minutes rounded up.
#[must_use]
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        1 => "1 second".into(),
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// Returns the percentage of items that exist, rounded down. 100 only when the batch is finished.
#[must_use]
pub const fn percent(created: u64, total: u64, finished: bool) -> u8 {
    if total == 0 {
        return 0;
    }
    let floored = (created as u128 * 100 / total as u128) as u8;
    if floored >= 100 && !finished { 99 } else { floored }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::job::RateLimit;

    const LIMITED: Throughput =
        Throughput { concurrency: 2, rate_limit: Some(RateLimit { jobs: 5, per: Duration::from_secs(10) }) };
    const UNLIMITED: Throughput = Throughput { concurrency: 2, rate_limit: None };

    #[test]
    fn follows_the_rate_limit_before_anything_was_measured() {
        let nothing = Measured::default();

        assert_eq!(estimate(50, 5_000, 0, &LIMITED, nothing).as_secs(), 90);
        assert_eq!(estimate(5, 500, 0, &LIMITED, nothing).as_secs(), 1);
        assert_eq!(estimate(5, 500, 5, &LIMITED, nothing).as_secs(), 10);
        assert_eq!(estimate(3_000, 300_000, 0, &LIMITED, nothing).as_secs(), 5_990);
        assert_eq!(estimate(0, 0, 0, &LIMITED, nothing).as_secs(), 0);
    }

    #[test]
    fn follows_the_measured_speed() {
        let slow = Measured { items: 1_000, worked: Duration::from_secs(10) };

        // 100 items per second and worker, with two workers.
        assert_eq!(estimate(100, 10_000, 0, &UNLIMITED, slow).as_secs(), 50);
        assert_eq!(estimate(50, 5_000, 0, &LIMITED, slow).as_secs(), 91);
    }

    #[test]
    fn writes_durations_in_seconds_or_minutes() {
        let table =
            [(1, "1 second"), (90, "90 seconds"), (119, "119 seconds"), (120, "2 minutes"), (5_990, "100 minutes")];

        for (seconds, words) in table {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    proptest! {
        #[test]
        fn reaches_100_percent_only_when_finished(total in 1_u64..20_000_000, part in 0.0_f64..=1.0) {
            let created = (total as f64 * part) as u64;

            prop_assert!(percent(created, total, false) < 100);
            prop_assert!(u64::from(percent(created, total, true)) <= created * 100 / total);
            prop_assert_eq!(percent(total, total, true), 100);
        }
    }
}
