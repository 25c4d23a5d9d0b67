//! Lists the processes that use the ledger, and says when none of them runs jobs.

use std::sync::atomic::Ordering::Relaxed;

use super::{error::Result, handle::BatchService, page::Page};
use crate::domain::WorkerRecord;

impl BatchService {
    /// Returns the processes that use the ledger, the oldest first, at most 1,000.
    ///
    /// Each process reports itself every ten seconds. A process that ends is gone at once, and one
    /// that was killed within a minute.
    ///
    /// # Errors
    ///
    /// [`BatchError::Unavailable`](super::BatchError::Unavailable).
    pub async fn workers(&self) -> Result<Page<WorkerRecord>> {
        let _permit = self.parts().reads.list().await?;
        Ok(Page::complete(self.bounded(self.parts().ledger.workers()).await?))
    }

    /// Whether no process runs jobs, as far as the ledger says. Reads it at most once a second.
    pub(super) async fn is_nobody_left(&self) -> bool {
        let parts = self.parts();
        let works_here = parts.config.role.runs_jobs() && !parts.standby.load(Relaxed);
        !works_here && parts.worker_check.is_nobody_left(&*parts.ledger).await
    }
}
