//! Estimates how long a new batch will take, from a cached backlog.
//!
//! Reading the backlog visits every open batch. So its result is cached for a hundred times as long
//! as the reading took. Batches that this process creates are added to the cache at once; those of
//! other processes appear at the next reading.

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
    const BATCHES: u64 = 10_000;
    /// How long a backlog is cached, as a multiple of the time it took to read.
    const CACHE_FACTOR: u32 = 100;
    /// The longest time that a backlog is cached.
    const MAX_AGE: Duration = Duration::from_secs(5);

    /// An estimator for `ledger`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, cached: Mutex::default() }
    }

    /// Estimates how long the jobs of `plan` will take at `throughput`, without batches created
    /// later.
    ///
    /// Batches take turns, so each open batch delays the new one by at most as many jobs as the new
    /// one has.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`](super::LedgerError::Unavailable) if the database did not
    /// respond.
    pub async fn estimate(&self, plan: &Plan, throughput: &Throughput) -> Result<Duration> {
        let mut cached = self.cached.lock().await;
        let backlog = match cached.take_if(|cached| cached.valid_until > Instant::now()) {
            Some(valid) => &cached.insert(valid).backlog,
            None => &cached.insert(self.read().await?).backlog,
        };
        Ok(estimate_with(backlog, plan, throughput))
    }

    /// Estimates as [`Estimator::estimate`], without waiting. If no backlog is cached, `read`
    /// returns the one of at most as many batches as its argument.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    #[cfg(feature = "sqlite")]
    pub fn estimate_at_once(
        &self,
        plan: &Plan,
        throughput: &Throughput,
        read: impl FnOnce(u64) -> Result<Backlog>,
    ) -> Result<Duration> {
        // Locked only while another call estimates, which may be reading the backlog.
        let Ok(mut cached) = self.cached.try_lock() else {
            return Ok(estimate_with(&Backlog::default(), plan, throughput));
        };
        let valid = cached.take_if(|cached| cached.valid_until > Instant::now());
        let started = Instant::now();
        let fresh = valid.map_or_else(|| read(Self::BATCHES).map(|backlog| Cached::new(backlog, started)), Ok)?;
        Ok(estimate_with(&cached.insert(fresh).backlog, plan, throughput))
    }

    /// Adds a batch that was just created.
    pub async fn created(&self, plan: &Plan) {
        if let Some(cached) = &mut *self.cached.lock().await {
            cached.backlog.open.push(plan.jobs());
        }
    }

    async fn read(&self) -> Result<Cached> {
        let started = Instant::now();
        let backlog = self.ledger.backlog(Self::BATCHES).await?;
        Ok(Cached::new(backlog, started))
    }
}

impl Cached {
    /// A backlog whose reading began at `started`.
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
