//! Removes the history of batches that finished longer than `keep_history` ago: the rows of jobs,
//! and of hooks whose last call failed. Removes entries of the audit that are older than
//! `keep_audit`. Never removes items.
//!
//! Runs in every process with a feeder; several cleaners share the work. It works in small portions
//! with pauses between them, so that workers do not wait for it.

use std::{sync::Arc, time::Duration};

use super::context::Context;
use crate::ledger::{LedgerError, Pruned};

/// Removes old history and old entries of the audit until the drain starts. Does nothing when both
/// are kept forever.
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
        let (history, audit) = (self.0.config.keep_history.0, self.0.config.keep_audit.0);
        let Some(kept) = history.into_iter().chain(audit).min() else { return };
        // So rows are removed late by at most a tenth of the setting, or one minute, whichever is
        // shorter.
        let interval = (kept / 10).min(Self::INTERVAL);
        while !self.0.draining.is_cancelled() {
            self.0.sleep_unless_draining(interval.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            if let Some(kept) = history {
                log_outcome(self.prune_history(kept).await);
            }
            if let Some(kept) = audit {
                self.prune_audit(kept).await;
            }
        }
    }

    async fn prune_history(&self, kept: Duration) -> Pruned {
        let mut sum = Pruned::default();
        for _ in 0..Self::MAX_PORTIONS_PER_RUN {
            let portion = self.portion(|| self.0.ledger.prune_history(kept, Self::ROWS_PER_PORTION)).await;
            let Some(portion) = portion else { break };
            sum = sum.and(portion);
            if !sum.has_more {
                break;
            }
            self.0.sleep_unless_draining(Self::PAUSE).await;
        }
        sum
    }

    async fn prune_audit(&self, kept: Duration) {
        let mut entries = 0;
        for _ in 0..Self::MAX_PORTIONS_PER_RUN {
            let removed = self.portion(|| self.0.ledger.prune_audit(kept, Self::ROWS_PER_PORTION)).await.unwrap_or(0);
            entries += removed;
            if removed < Self::ROWS_PER_PORTION {
                break;
            }
            self.0.sleep_unless_draining(Self::PAUSE).await;
        }
        if entries > 0 {
            tracing::info!(entries, "old entries of the audit were removed");
        }
    }

    /// Removes one portion. `None` if the drain started, or after an error that another try does
    /// not mend.
    async fn portion<T, F: Future<Output = Result<T, LedgerError>>>(&self, prune: impl Fn() -> F) -> Option<T> {
        if self.0.draining.is_cancelled() {
            return None;
        }
        match self.0.retry_until_drain(prune).await? {
            Ok(removed) => Some(removed),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "old history could not be removed");
                None
            }
        }
    }
}

fn log_outcome(Pruned { batches, jobs, hooks, has_more }: Pruned) {
    if batches + jobs + hooks > 0 {
        tracing::info!(batches, jobs, hooks, has_more, "old history was removed");
    }
}
