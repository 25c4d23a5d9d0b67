//! The batches whose last job may have finished in this process, and those to close again later.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::domain::BatchId;

/// The batches with jobs that finished in this process since the last check, and the batches to
/// check at a later time.
#[derive(Debug, Default)]
pub(crate) struct FinishedJobs {
    requests: Mutex<Requests>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Requests {
    now: HashSet<BatchId>,
    later: BTreeSet<(Instant, BatchId)>,
}

impl Requests {
    /// Takes all requests that are due.
    fn take_due(&mut self, now: Instant) -> Vec<BatchId> {
        while let Some((at, batch)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, batch));
            self.now.insert(batch);
        }
        std::mem::take(&mut self.now).into_iter().collect()
    }
}

impl FinishedJobs {
    /// Maximum number of batches to check later. The feeder finds the others.
    const MAX_LATER: usize = 1_000;

    /// Requests a check of `batch`, because one of its jobs finished.
    pub fn job_finished(&self, batch: BatchId) {
        if self.requests().now.insert(batch) {
            self.changed.notify_one();
        }
    }

    /// Requests a check of `batch` after `delay`, because its finish hook is then called again.
    pub(super) fn check_after(&self, delay: Duration, batch: BatchId) {
        let mut requests = self.requests();
        if requests.later.len() < Self::MAX_LATER {
            requests.later.insert((Instant::now() + delay, batch));
            self.changed.notify_one();
        }
    }

    /// Waits until a request is due, and takes all that are due. Cancel safe.
    pub(super) async fn take(&self) -> Vec<BatchId> {
        loop {
            // In its own statement, so that the lock is released.
            let next = self.requests().later.first().map(|(at, _)| *at);
            match next {
                None => self.changed.notified().await,
                Some(at) => drop(tokio::time::timeout_at(at, self.changed.notified()).await),
            }
            let due = self.requests().take_due(Instant::now());
            // The check before may have taken the batches of this notification.
            if !due.is_empty() {
                return due;
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[tokio::test]
    async fn returns_a_batch_after_every_finished_job() {
        let finished = FinishedJobs::default();
        let taken = || finished.take().now_or_never().map(|mut batches| (batches.sort(), batches).1);

        assert_eq!(taken(), None);
        [1, 2, 1].into_iter().for_each(|batch| finished.job_finished(id(batch)));
        assert_eq!(taken(), Some(vec![id(1), id(2)]));
        assert_eq!(taken(), None);

        // While the caller still checks the same batch.
        finished.job_finished(id(1));
        assert_eq!(taken(), Some(vec![id(1)]));
    }

    #[tokio::test(start_paused = true)]
    async fn checks_a_batch_again_when_its_time_has_come() {
        let (finished, start) = (FinishedJobs::default(), Instant::now());

        finished.check_after(Duration::from_secs(5), id(1));
        finished.check_after(Duration::from_secs(2), id(2));
        finished.job_finished(id(3));

        assert_eq!((finished.take().await, start.elapsed().as_secs()), (vec![id(3)], 0));
        assert_eq!((finished.take().await, start.elapsed().as_secs()), (vec![id(2)], 2));
        // Requested while the check waits.
        let (taken, ()) = tokio::join!(finished.take(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            finished.check_after(Duration::from_secs(1), id(4));
        });
        assert_eq!((taken, start.elapsed().as_secs()), (vec![id(4)], 4));
        assert_eq!((finished.take().await, start.elapsed().as_secs()), (vec![id(1)], 5));
    }

    #[tokio::test]
    async fn keeps_a_limited_number_of_later_checks() {
        let finished = FinishedJobs::default();

        (1..=5_000).for_each(|batch| finished.check_after(Duration::from_secs(1), id(batch)));

        assert_eq!(finished.requests().later.len(), FinishedJobs::MAX_LATER);
    }
}
