//! Removes the history of batches that have been over for `keep_history`: rows of jobs, and of
//! hooks that were given up. Never an item.
//!
//! Runs beside the feeder, in every process that feeds; several at once share the work. It goes by
//! small portions with pauses between them, so that nobody who works waits for it.

use std::{sync::Arc, time::Duration};

use super::Context;
use crate::ledger::Pruned;

/// Runs until the drain begins; not at all when history is kept for ever.
pub(crate) struct Cleaner(pub Arc<Context>);

impl Cleaner {
    /// Rows at a time.
    const PORTION: u64 = 1_000;
    /// Between two portions.
    const PAUSE: Duration = Duration::from_millis(50);
    /// Portions a round. What is left then comes in the next one.
    const PORTIONS: u32 = 100;
    /// The longest time between two rounds.
    const INTERVAL: Duration = Duration::from_secs(60);

    pub async fn run(self) {
        let Some(kept) = self.0.config.keep_history.0 else { return };
        // History outlives its time by a tenth of it at most, and by a minute or so.
        let interval = (kept / 10).min(Self::INTERVAL);
        while !self.0.draining.is_cancelled() {
            self.0.sleep_unless_draining(interval.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            log_outcome(self.round(kept).await);
        }
    }

    async fn round(&self, kept: Duration) -> Pruned {
        let mut sum = Pruned::default();
        for _ in 0..Self::PORTIONS {
            if self.0.draining.is_cancelled() {
                break;
            }
            match self.0.retry_until_drain(|| self.0.ledger.prune_history(kept, Self::PORTION)).await {
                None => break,
                Some(Ok(portion)) => sum = sum.and(portion),
                Some(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "old history could not be removed");
                    break;
                }
            }
            if !sum.left_out {
                break;
            }
            self.0.sleep_unless_draining(Self::PAUSE).await;
        }
        sum
    }
}

fn log_outcome(Pruned { batches, jobs, hooks, left_out }: Pruned) {
    if batches + jobs + hooks > 0 {
        tracing::info!(batches, jobs, hooks, left_out, "old history was removed");
    }
}
