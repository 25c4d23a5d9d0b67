//! Which items a check reads, and which jobs a repair recreates.

use std::ops::Range;

use crate::{
    domain::{
        BatchId, BatchRecord, BatchStatus, Change, ItemPage, JobId, JobState, MAX_LISTED_JOBS, PAGE_ITEMS, Plan,
        RepairReport, absent_job,
    },
    ledger::error::LedgerError,
};

/// The maximum number of unfinished checks that the feeder reads at once.
pub(in crate::ledger) const CHECKS: u64 = 100;

/// A batch, as a check reads it.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct CheckedBatch {
    pub batch: BatchId,
    pub status: BatchStatus,
    pub quantity: u64,
    pub plan: Option<Plan>,
    pub prefix: Option<String>,
    pub key_fingerprint: Option<String>,
    pub round: u32,
}

impl CheckedBatch {
    /// The ordinals of the page that starts at `from`. The page beyond the quantity has no end.
    pub(in crate::ledger) fn window(&self, from: u64) -> Range<u64> {
        let is_planned = from < self.quantity;
        from..if is_planned { (from + PAGE_ITEMS).min(self.quantity) } else { i64::MAX as u64 }
    }

    /// The numbers of the jobs of `window`.
    pub(in crate::ledger) fn seqs(&self, window: &Range<u64>) -> Option<Range<u64>> {
        let plan = self.plan.filter(|_| window.start < self.quantity)?;
        let mut slices = plan.slices_within(window);
        let first = slices.next()?.seq;
        Some(first..slices.last().map_or(first, |slice| slice.seq) + 1)
    }

    /// An empty page of `window`.
    pub(in crate::ledger) fn page(self, window: Range<u64>, items: Vec<(u64, Option<String>)>) -> ItemPage {
        let last = items.last().map(|(ordinal, _)| *ordinal);
        let (range, next) = if window.start < self.quantity {
            (window.clone(), Some(window.end))
        } else {
            let end = last.map_or(window.start, |last| last + 1);
            (window.start..end, (items.len() as u64 >= PAGE_ITEMS).then_some(end))
        };
        let Self { batch, status, quantity, plan, prefix, key_fingerprint, .. } = self;
        ItemPage { batch, status, quantity, plan, prefix, key_fingerprint, range, items, jobs: Vec::new(), next }
    }

    /// The jobs of the portion that starts with number `from`.
    pub(in crate::ledger) fn portion(&self, from: u64) -> Range<u64> {
        let Some(plan) = self.plan else { return from..from };
        from..(from + self.jobs_per_portion()).min(plan.jobs()).max(from)
    }

    /// The number of jobs of a portion, which have about 100,000 items.
    pub(in crate::ledger) fn jobs_per_portion(&self) -> u64 {
        self.plan.map_or(1, |plan| (100_000 / plan.items_per_job()).clamp(1, 10_000))
    }

    /// Where the portion after `portion` starts.
    pub(in crate::ledger) fn after(&self, portion: &Range<u64>) -> Option<u64> {
        self.plan.filter(|plan| portion.end < plan.jobs()).map(|_| portion.end)
    }

    /// The generation of job rows that are made again. It is higher than every generation that the
    /// removed rows had, unless a job was retried a thousand times in a round, so a queue that
    /// remembers the removed jobs does not take new ones for them.
    pub(in crate::ledger) const fn remade_generation(&self) -> u32 {
        self.round.saturating_mul(1_000)
    }
}

/// A job with the number of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct CountedJob {
    pub seq: u64,
    pub quantity: u64,
    pub present: u64,
    /// The state and the generation of its row.
    pub row: Option<(JobState, u32)>,
}

impl CountedJob {
    /// Whether it is completed and misses items, in a batch with this status.
    pub(in crate::ledger) fn has_gap(&self, status: BatchStatus) -> bool {
        let state = self.row.map_or(absent_job(status), |(state, _)| state);
        state == JobState::Completed && self.present < self.quantity
    }
}

/// The status of the batch after a repair.
///
/// # Errors
///
/// [`LedgerError::NotAllowed`] and [`LedgerError::HistoryRemoved`].
pub(in crate::ledger) fn repaired_status(batch: &BatchRecord) -> Result<BatchStatus, LedgerError> {
    let status = batch.status.after(Change::Repair)?;
    // Without its rows, it is unknown which jobs of a failed batch were completed.
    if batch.history_removed && batch.status == BatchStatus::Failed {
        return Err(LedgerError::HistoryRemoved(batch.batch_id));
    }
    Ok(status)
}

/// Adds a recreated job to the report.
pub(in crate::ledger) fn add_recreated(report: &mut RepairReport, job: &CountedJob, absent_generation: u32) {
    report.found += job.quantity - job.present;
    report.recreated += 1;
    let generation = job.row.map_or(absent_generation, |(_, generation)| generation) + 1;
    if report.job_ids.len() < MAX_LISTED_JOBS {
        report.job_ids.push(JobId { batch: report.batch_id, seq: job.seq, generation }.to_string());
    } else {
        report.job_ids_truncated = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(quantity: u64, jobs: u64) -> CheckedBatch {
        CheckedBatch {
            batch: BatchId::new(7).unwrap(),
            status: BatchStatus::Completed,
            quantity,
            plan: Some(Plan::of_stored(quantity, 100, jobs)),
            prefix: None,
            key_fingerprint: None,
            round: 2,
        }
    }

    #[test]
    fn pages_cover_every_ordinal_once_and_end_beyond_the_quantity() {
        let batch = batch(25_050, 251);

        assert_eq!(batch.window(0), 0..10_000);
        assert_eq!(batch.window(20_000), 20_000..25_050);
        assert_eq!(batch.seqs(&(20_000..25_050)), Some(200..251));
        assert_eq!(batch.seqs(&(9_950..10_000)), Some(99..100));
        let end = batch.window(25_050);
        assert_eq!((end.start, batch.seqs(&end)), (25_050, None));
        assert_eq!(batch.clone().page(20_000..25_050, vec![]).next, Some(25_050));
        assert_eq!(batch.page(end, vec![(30_000, None)]).next, None);
    }

    #[test]
    fn portions_cover_every_job_once() {
        let batch = batch(250_050, 2_501);
        let (mut from, mut covered) = (Some(0), Vec::new());
        while let Some(start) = from {
            let portion = batch.portion(start);
            from = batch.after(&portion);
            covered.push(portion);
        }

        assert_eq!(covered, [0..1_000, 1_000..2_000, 2_000..2_501]);
    }

    #[test]
    fn only_a_completed_job_has_a_gap() {
        for state in JobState::ALL {
            let job = CountedJob { seq: 0, quantity: 10, present: 9, row: Some((state, 0)) };
            assert_eq!(job.has_gap(BatchStatus::Completed), state == JobState::Completed, "{state}");
            assert!(!CountedJob { present: 10, ..job }.has_gap(BatchStatus::Completed));
        }
        let absent = CountedJob { seq: 0, quantity: 10, present: 9, row: None };
        assert!(absent.has_gap(BatchStatus::Completed) && !absent.has_gap(BatchStatus::Cancelled));
    }
}
