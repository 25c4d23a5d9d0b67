//! The pace of a queue: backoff, rate limit, priority and capacity.

use std::time::Duration;

/// Exponential backoff: `first`, doubled after each failure, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub max: Duration,
}

impl Backoff {
    /// Returns the delay after the `failures`-th failure, counted from 1.
    #[must_use]
    pub fn after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }

    /// Returns the delay shortened by up to one half. `random` is a random number from 0 to 1.
    /// Jitter spreads the retries of jobs that failed at the same time.
    #[must_use]
    pub fn jittered(&self, failures: u32, random: f64) -> Duration {
        self.after(failures).mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

/// At most `jobs` starts in each window of `per`. A window opens with its first start.
///
/// BullMQ's limiter uses the same windows, so the queue in Redis and the queue in the process start
/// jobs at the same rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Maximum number of starts in a window.
    pub jobs: u32,
    /// The length of a window.
    pub per: Duration,
}

impl RateLimit {
    /// Returns the earliest time of the `nth` start, counted from 0.
    #[must_use]
    pub fn start_of(&self, nth: u64) -> Duration {
        let windows = nth / u64::from(self.jobs.max(1));
        self.per.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
    }
}

/// How fast the jobs of a queue may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(unnameable_types, reason = "only a hidden function takes it, which the tests of the ledger call")]
pub struct Throughput {
    /// Number of jobs that this process runs at a time.
    pub concurrency: u32,
    /// Maximum number of starts in a window; `None` means unlimited.
    pub rate_limit: Option<RateLimit>,
}

/// The lowest priority, which is the largest number that fits into a BullMQ score.
pub(crate) const LOWEST_PRIORITY: u64 = 2_097_151;

/// Returns the priority of a job that is added now. Priority 1 is delivered first.
///
/// Fair queueing: `virtual_time` is the priority of the job at the head of the queue, or 0 for an
/// empty queue. `rank` is the position of the job, counted from the first open job of its batch.
/// Early jobs of a batch therefore come first, and batches interleave as soon as they are created.
/// The head only advances when every job before it is gone, so no waiting job starves.
#[must_use]
pub const fn fair_priority(virtual_time: u64, rank: u64) -> u64 {
    let priority = virtual_time.saturating_add(rank).saturating_add(1);
    if priority > LOWEST_PRIORITY { LOWEST_PRIORITY } else { priority }
}

/// The maximum numbers of jobs in the queue. The other jobs stay in the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCapacity {
    /// Maximum for one batch.
    pub per_batch: u64,
    /// Maximum for all batches together.
    pub total: u64,
}

impl QueueCapacity {
    /// Returns the share of each of `batches` open batches: equal, at least one job, at most
    /// `per_batch`.
    #[must_use]
    pub fn share(&self, batches: u64) -> u64 {
        (self.total / batches.max(1)).clamp(1, self.per_batch.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_the_delay_up_to_the_maximum() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

        let waits: Vec<_> = [1, 2, 3, 6, 7, 100].map(|n| backoff.after(n).as_secs()).into();

        assert_eq!(waits, [1, 2, 4, 32, 60, 60]);
    }

    #[test]
    fn shares_the_capacity_equally() {
        let capacity = QueueCapacity { per_batch: 1_000, total: 10_000 };

        assert_eq!([0, 1, 10, 11, 20_000].map(|n| capacity.share(n)), [1_000, 1_000, 1_000, 909, 1]);
    }

    /// A minimal queue that delivers by fair priority.
    struct FairQueue {
        waiting: BTreeMap<(u64, u64), usize>,
        next: u64,
    }

    impl FairQueue {
        fn add(&mut self, batch: usize, jobs: u64) {
            let head = self.waiting.first_key_value().map_or(0, |((priority, _), _)| *priority);
            for rank in 0..jobs {
                self.waiting.insert((fair_priority(head, rank), self.next), batch);
                self.next += 1;
            }
        }

        fn take(&mut self) -> Option<usize> {
            self.waiting.pop_first().map(|(_, batch)| batch)
        }
    }

    proptest! {
        #[test]
        fn keeps_jitter_between_half_and_the_whole_delay(failures in 1_u32..200, random in 0.0_f64..=1.0) {
            let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(30) };
            let (whole, jittered) = (backoff.after(failures), backoff.jittered(failures, random));

            prop_assert!(jittered <= whole && jittered >= whole / 2);
        }

        #[test]
        fn keeps_every_priority_in_range(time: u64, rank: u64) {
            prop_assert!((1..=LOWEST_PRIORITY).contains(&fair_priority(time, rank)));
        }

        /// The small batches alone add as many jobs as are delivered, in bursts.
        #[test]
        fn finishes_a_batch_of_300_jobs_while_batches_of_10_keep_arriving(
            bursts in prop::collection::vec(1_usize..8, 1..20),
        ) {
            let mut queue = FairQueue { waiting: BTreeMap::new(), next: 0 };
            queue.add(0, 300);
            let mut left = 300;
            let mut bursts = bursts.into_iter().cycle();
            let mut until_burst = 0;
            let mut steps = 0_u64;

            while left > 0 {
                if until_burst == 0 {
                    let burst = bursts.next().unwrap();
                    (0..burst).for_each(|_| queue.add(1, 10));
                    until_burst = burst * 10;
                }
                until_burst -= 1;
                left -= u64::from(queue.take() == Some(0));
                steps += 1;
                prop_assert!(steps < 300 * 100, "the large batch starves");
            }
        }

        #[test]
        fn alternates_between_batches_that_arrive_together(sizes in prop::collection::vec(20_u64..60, 2..6)) {
            let mut queue = FairQueue { waiting: BTreeMap::new(), next: 0 };
            sizes.iter().enumerate().for_each(|(batch, size)| queue.add(batch, *size));
            let mut seen: HashMap<usize, u64> = HashMap::new();
            let mut last: VecDeque<usize> = VecDeque::new();

            for _ in 0..10 * sizes.len() {
                let batch = queue.take().unwrap();
                *seen.entry(batch).or_default() += 1;
                last.push_back(batch);
            }

            let (min, max) = (seen.values().min().unwrap(), seen.values().max().unwrap());
            prop_assert!(max - min <= sizes.len() as u64 + 1, "{seen:?} {last:?}");
        }
    }
}
