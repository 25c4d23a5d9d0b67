//! How long a new batch will take, judged by a backlog that was read a moment ago.
//!
//! Reading the backlog looks at every open batch, so creates share one look for a while: reading
//! takes at most a hundredth of the time. What this process creates meanwhile is added at once;
//! what others create is seen at the next look.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Backlog, Ledger, Result};
use crate::domain::{Plan, Throughput, estimate};

/// Estimates how long batches will take.
pub struct Estimator {
    ledger: Arc<dyn Ledger>,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    backlog: Backlog,
    good_until: Instant,
}

impl Estimator {
    /// More open batches than this are not looked at; an estimate is too short then.
    const BATCHES: u64 = 10_000;
    /// How many times as long as it took a look is good for.
    const GOOD_FOR: u32 = 100;
    /// And no look is good for longer.
    const MAX_AGE: Duration = Duration::from_secs(5);

    /// Estimates by the backlog of `ledger`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, seen: Mutex::default() }
    }

    /// How long the jobs of `plan` will take when they are worked at `throughput`, if nothing comes
    /// in between that is not there yet.
    ///
    /// Batches take turns, so each of the others puts in at most as many jobs as the new one has.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`](super::LedgerError::Unavailable) if the database did not
    /// answer.
    pub async fn estimate(&self, plan: &Plan, throughput: &Throughput) -> Result<Duration> {
        let mut seen = self.seen.lock().await;
        let backlog = match seen.take_if(|seen| seen.good_until > Instant::now()) {
            Some(good) => &seen.insert(good).backlog,
            None => &seen.insert(self.look().await?).backlog,
        };
        let jobs = plan.jobs();
        let ahead = backlog.open.iter().map(|open| (*open).min(jobs)).sum();
        Ok(estimate(jobs, plan.quantity(), ahead, throughput, backlog.measured))
    }

    /// Adds a batch that was created just now.
    pub async fn created(&self, plan: &Plan) {
        if let Some(seen) = &mut *self.seen.lock().await {
            seen.backlog.open.push(plan.jobs());
        }
    }

    async fn look(&self) -> Result<Seen> {
        let began = Instant::now();
        let backlog = self.ledger.backlog(Self::BATCHES).await?;
        Ok(Seen { backlog, good_until: Instant::now() + (began.elapsed() * Self::GOOD_FOR).min(Self::MAX_AGE) })
    }
}

impl std::fmt::Debug for Estimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Estimator").finish_non_exhaustive()
    }
}
