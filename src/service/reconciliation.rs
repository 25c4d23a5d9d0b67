//! Compares the items of a batch with its plan, and repairs it.

use std::time::Duration;

use chrono::Utc;

use super::{
    error::{BatchError, Result},
    handle::{BatchService, to_batch_id},
};
use crate::domain::{BatchId, Reconciliation, ReconciliationOptions, RepairReport, Tally};

/// The number of pages that a request reads itself: 100,000 items, and the page beyond the last
/// one.
const PAGES_PER_REQUEST: usize = 11;

/// How long a report is returned again.
const MAX_AGE: Duration = Duration::from_secs(600);

impl BatchService {
    /// Compares the items of a batch with its plan. Reads the items themselves, not the counts.
    ///
    /// A batch of up to 100,000 items is checked at once. For a larger one a background task does
    /// so: the result is [running](crate::CheckState::Running) until the task has finished. Call
    /// this again later. A finished report is returned for 10 minutes, or until
    /// [`refresh`](ReconciliationOptions::refresh).
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`].
    pub async fn reconciliation(&self, batch_id: i64, options: ReconciliationOptions) -> Result<Reconciliation> {
        let id = to_batch_id(batch_id)?;
        if let Some(report) = self.check_now(id, options.codes).await? {
            return Ok(report);
        }
        let max_age = if options.refresh { Duration::ZERO } else { MAX_AGE };
        let check = self.bounded(self.parts().ledger.start_check(id, options.codes, max_age)).await?;
        if check.finished_at.is_none() {
            self.wake_feeder();
        }
        Ok(check.tally.report(id, check.started_at, check.finished_at))
    }

    /// Checks a small batch. `None` if it is large.
    async fn check_now(&self, id: BatchId, codes: bool) -> Result<Option<Reconciliation>> {
        let _permit = self.parts().reads.list().await?;
        let (started_at, mut tally) = (Utc::now(), Tally::start());
        for _ in 0..PAGES_PER_REQUEST {
            let Some(from) = tally.next else { break };
            let page = self.bounded(self.parts().ledger.item_page(id, from, codes)).await?;
            if page.quantity > Self::CHECKED_AT_ONCE {
                return Ok(None);
            }
            tally.add(&page, &self.parts().codes);
        }
        Ok(tally.is_finished().then(|| tally.report(id, started_at, Some(Utc::now()))))
    }

    /// The largest batch that a request checks itself.
    const CHECKED_AT_ONCE: u64 = 100_000;

    /// Writes the missing items of completed jobs again: recreates these jobs, each with all its
    /// attempts. Only missing items are generated, with the same codes as before.
    ///
    /// Finds the gaps itself, so no check is needed before. A completed batch runs again; its
    /// [`BatchFinished::repaired`](crate::BatchFinished::repaired) is then true. A paused batch
    /// stays paused. Items beyond the quantity and wrong codes are left as they are, and so are
    /// failed jobs: retry those. Job rows that were removed after `keep_history` are made again.
    ///
    /// # Errors
    ///
    /// [`BatchError::NothingToRepair`] with the report, also for the second of two simultaneous
    /// calls; [`BatchError::NotAllowed`] for a cancelled batch; [`BatchError::HistoryRemoved`] for
    /// a failed batch that finished longer than `keep_history` ago; [`BatchError::NoSuchBatch`].
    pub async fn repair(&self, batch_id: i64) -> Result<RepairReport> {
        let id = to_batch_id(batch_id)?;
        let seqs = self.jobs_with_gaps(id).await?;
        let report = self.bounded(self.parts().ledger.repair(id, seqs, self.caller())).await?;
        if report.recreated == 0 {
            return Err(BatchError::NothingToRepair(Box::new(report)));
        }
        let (found, recreated) = (report.found, report.recreated);
        tracing::info!(batch = batch_id, found, recreated, "Repairing {found} items of batch {batch_id}");
        (self.parts().wake)(Some(id));
        Ok(report)
    }

    /// The numbers of the jobs with gaps, at most 100,000.
    async fn jobs_with_gaps(&self, id: BatchId) -> Result<Vec<u64>> {
        let _permit = self.parts().reads.list().await?;
        let (mut seqs, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let mut portion = self.bounded(self.parts().ledger.jobs_with_gaps(id, first)).await?;
            seqs.append(&mut portion.seqs);
            from = portion.next;
        }
        Ok(seqs)
    }
}
