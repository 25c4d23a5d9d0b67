//! Which batches are counted at a time.

use std::time::Duration;

use crate::{domain::BatchId, ledger::query::RecentWork};

/// The age after which the counts of a batch with active jobs are outdated.
pub(in crate::ledger) const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(15);
/// The maximum number of such batches per query.
pub(in crate::ledger) const LEFT_BEHIND_BATCHES: u64 = 100;
/// The age, compared with the process's own summary, after which another one is deleted.
pub(in crate::ledger) const OLD_AFTER: Duration = Duration::from_secs(60);
/// The maximum number of summaries deleted at a time.
pub(in crate::ledger) const OLD_ROWS: u64 = 1_000;
/// The process id of counts made by verbs that change a whole batch.
pub(in crate::ledger) const NO_PROCESS: i64 = 0;
/// The maximum number of batches counted at a time.
const COUNTED_BATCHES: usize = 20;
/// The maximum number of jobs counted at a time, unless one batch has more.
const COUNTED_JOBS: u64 = 100_000;

/// The work of [`NO_PROCESS`] in a batch, which is none.
pub(in crate::ledger) const fn no_work(batch: BatchId) -> RecentWork {
    RecentWork { batch, items: 0, last_item_at: None }
}

/// A batch to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct OpenBatch {
    pub work: RecentWork,
    pub jobs: u64,
    /// Whether another process counted it less than
    /// [`COUNT_INTERVAL`](crate::ledger::COUNT_INTERVAL) ago.
    pub counted: bool,
}

/// Divides batches into portions to count at a time. Also returns the batches that another process
/// has just counted, which are to be counted later.
pub(in crate::ledger) fn portions(open: Vec<OpenBatch>) -> (Vec<Vec<RecentWork>>, Vec<BatchId>) {
    let (counted, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|batch| batch.counted);
    let mut portions: Vec<Vec<RecentWork>> = Vec::new();
    let mut jobs = 0;
    for batch in open {
        jobs += batch.jobs;
        match portions.last_mut() {
            Some(portion) if portion.len() < COUNTED_BATCHES && jobs <= COUNTED_JOBS => portion.push(batch.work),
            _ => {
                jobs = batch.jobs;
                portions.push(vec![batch.work]);
            }
        }
    }
    (portions, counted.into_iter().map(|batch| batch.work.batch).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_portion_has_few_batches_and_few_jobs() {
        let open = |batch: usize, jobs, counted| OpenBatch { work: no_work(id(batch as i64 + 1)), jobs, counted };
        let lengths = |jobs: &[u64]| {
            let (portions, left) =
                portions(jobs.iter().enumerate().map(|(batch, jobs)| open(batch, *jobs, false)).collect());
            assert_eq!((portions.iter().map(Vec::len).sum::<usize>(), left), (jobs.len(), vec![]));
            portions.iter().map(Vec::len).collect::<Vec<_>>()
        };

        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1; 45]), [20, 20, 5]);
        assert_eq!(lengths(&[60_000, 40_000, 1, 200_000, 5, 5]), [2, 1, 1, 2]);
        let (portions, left) = portions(vec![open(1, 9, true), open(2, 9, false), open(3, 9, true)]);
        assert_eq!((portions, left), (vec![vec![open(2, 9, false).work]], vec![id(2), id(4)]));
    }
}
