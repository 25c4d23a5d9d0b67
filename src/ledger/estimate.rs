//! Estimates how long a new batch will take, from the backlog: the number of open jobs of each open
//! batch.
//!
//! Reading the backlog visits up to 10,000 batches. The result is therefore cached for a hundred
//! times the duration of the read, at most five seconds. Batches that this process creates are
//! added to the cache immediately; those of other processes appear at the next read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{error::Result, query::Backlog, verbs::Ledger};
use crate::domain::{Plan, Throughput, estimate};

/// Estimates how long batches will take.
pub struct Estimator {
    ledger: Arc<dyn Ledger>,
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    backlog: Backlog,
    valid_until: Instant,
}

impl Estimator {
    /// The maximum number of open batches considered. With more, estimates are too short.
    const MAX_BATCHES: u64 = 10_000;
    /// How long a backlog is cached, as a multiple of the time it took to read.
    const CACHE_FACTOR: u32 = 100;
    /// The longest time that a backlog is cached.
    const MAX_AGE: Duration = Duration::from_secs(5);

    /// Creates an estimator that reads the backlog from `ledger`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, cached: Mutex::default() }
    }

    /// Estimates the time until all jobs of `plan` are finished at `throughput`, including the wait
    /// for the open batches. Batches created later are not considered.
    ///
    /// Batches take turns. Each open batch therefore delays the new batch by at most `plan.jobs()`
    /// jobs.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`](super::LedgerError::Unavailable) if the database did not
    /// respond.
    pub async fn estimate(&self, plan: &Plan, throughput: &Throughput) -> Result<Duration> {
        let [estimated] = self.estimate_each(plan, [throughput]).await?;
        Ok(estimated)
    }

    /// Like [`Estimator::estimate`], for several throughputs and from one backlog.
    ///
    /// # Errors
    ///
    /// As [`Estimator::estimate`].
    pub async fn estimate_each<const N: usize>(
        &self,
        plan: &Plan,
        throughputs: [&Throughput; N],
    ) -> Result<[Duration; N]> {
        let mut cached = self.cached.lock().await;
        let backlog = match cached.take_if(|cached| cached.valid_until > Instant::now()) {
            Some(valid) => &cached.insert(valid).backlog,
            None => &cached.insert(self.read().await?).backlog,
        };
        Ok(throughputs.map(|throughput| estimate_with(backlog, plan, throughput)))
    }

    /// Like [`Estimator::estimate`], but never waits for another call. If that call holds the
    /// cache, the estimate ignores all open batches.
    ///
    /// Calls `read_backlog` if no valid backlog is cached. Its argument is the maximum number of
    /// batches to read.
    ///
    /// # Errors
    ///
    /// Those of `read_backlog`.
    #[cfg(feature = "sqlite")]
    pub fn try_estimate(
        &self,
        plan: &Plan,
        throughput: &Throughput,
        read_backlog: impl FnOnce(u64) -> Result<Backlog>,
    ) -> Result<Duration> {
        // The call that holds the lock may be reading the backlog.
        let Ok(mut cached) = self.cached.try_lock() else {
            return Ok(estimate_with(&Backlog::default(), plan, throughput));
        };
        let valid = cached.take_if(|cached| cached.valid_until > Instant::now());
        let started = Instant::now();
        let fresh =
            valid.map_or_else(|| read_backlog(Self::MAX_BATCHES).map(|backlog| Cached::new(backlog, started)), Ok)?;
        Ok(estimate_with(&cached.insert(fresh).backlog, plan, throughput))
    }

    /// Adds a batch that was just created to the cached backlog, if there is one. If another call
    /// is reading the backlog, it probably reads this batch too.
    pub fn add_created(&self, plan: &Plan) {
        if let Ok(mut cached) = self.cached.try_lock()
            && let Some(cached) = &mut *cached
        {
            cached.backlog.open.push(plan.jobs());
        }
    }

    async fn read(&self) -> Result<Cached> {
        let started = Instant::now();
        let backlog = self.ledger.backlog(Self::MAX_BATCHES).await?;
        Ok(Cached::new(backlog, started))
    }
}

impl Cached {
    /// Caches `backlog`, whose read began at `started`.
    fn new(backlog: Backlog, started: Instant) -> Self {
        let valid_for = (started.elapsed() * Estimator::CACHE_FACTOR).min(Estimator::MAX_AGE);
        Self { backlog, valid_until: Instant::now() + valid_for }
    }
}

fn estimate_with(backlog: &Backlog, plan: &Plan, throughput: &Throughput) -> Duration {
    let jobs = plan.jobs();
    let ahead = backlog.open.iter().map(|open| (*open).min(jobs)).sum();
    estimate(jobs, plan.quantity(), ahead, throughput, backlog.measured)
}

impl std::fmt::Debug for Estimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Estimator").finish_non_exhaustive()
    }
}
