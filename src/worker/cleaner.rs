//! Removes the history of batches that finished longer than `keep_history` ago: the rows of jobs,
//! and of hooks whose last call failed. Never removes items.
//!
//! Runs in every process with a feeder; several cleaners share the work. It works in small portions
//! with pauses between them, so that workers do not wait for it.

use std::{sync::Arc, time::Duration};

use super::context::Context;
use crate::ledger::Pruned;

/// Removes old history until the drain starts. Does nothing when history is kept forever.
pub(crate) struct Cleaner(pub Arc<Context>);

impl Cleaner {
    /// Number of rows in a portion.
    const ROWS_PER_PORTION: u64 = 1_000;
    /// The pause between two portions.
    const PAUSE: Duration = Duration::from_millis(50);
    /// Maximum number of portions in a run. The next run continues.
    const MAX_PORTIONS_PER_RUN: u32 = 100;
    /// The longest interval between two runs.
    const INTERVAL: Duration = Duration::from_secs(60);

    pub async fn run(self) {
        let Some(kept) = self.0.config.keep_history.0 else { return };
        // So history is removed late by at most a tenth of `keep_history`, or one minute, whichever
        // is shorter.
        let interval = (kept / 10).min(Self::INTERVAL);
        while !self.0.draining.is_cancelled() {
            self.0.sleep_unless_draining(interval.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            log_outcome(self.prune(kept).await);
        }
    }

    async fn prune(&self, kept: Duration) -> Pruned {
        let mut sum = Pruned::default();
        for _ in 0..Self::MAX_PORTIONS_PER_RUN {
            if self.0.draining.is_cancelled() {
                break;
            }
            match self.0.retry_until_drain(|| self.0.ledger.prune_history(kept, Self::ROWS_PER_PORTION)).await {
                None => break,
                Some(Ok(portion)) => sum = sum.and(portion),
                Some(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "old history could not be removed");
                    break;
                }
            }
            if !sum.has_more {
                break;
            }
            self.0.sleep_unless_draining(Self::PAUSE).await;
        }
        sum
    }
}

fn log_outcome(Pruned { batches, jobs, hooks, has_more }: Pruned) {
    if batches + jobs + hooks > 0 {
        tracing::info!(batches, jobs, hooks, has_more, "old history was removed");
    }
}
