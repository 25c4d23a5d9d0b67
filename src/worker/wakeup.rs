//! Wakes the feeder, and collects what it is woken for.
//!
//! Wakeups within a short time lead to one pass: a wakeup only records its reason, and the next
//! pass takes all recorded reasons.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use crate::domain::BatchId;

/// Wakes the feeder.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    notify: Notify,
    reasons: Mutex<WakeReasons>,
    /// Number of jobs that left the queue since the feeder last counted it.
    jobs_left: AtomicU64,
    /// The value of `jobs_left` at which the feeder counts the queue; 0 when the ledger has no more
    /// jobs.
    count_at: AtomicU64,
}

/// The reasons of one pass of the feeder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WakeReasons {
    /// Batches with jobs that are new in the ledger, or were removed from the queue.
    pub batches: HashSet<BatchId>,
    /// There may be hooks to call.
    pub hooks: bool,
    /// There may be any kind of work.
    pub all: bool,
}

impl Wakeup {
    /// Wakes the feeder for any kind of work.
    pub fn wake(&self) {
        self.add(|reasons| reasons.all = true);
    }

    /// Wakes the feeder for the jobs of a batch.
    pub fn batch(&self, batch: BatchId) {
        self.add(|reasons| {
            reasons.batches.insert(batch);
        });
    }

    /// Wakes the feeder for a hook.
    pub fn hook(&self) {
        self.add(|reasons| reasons.hooks = true);
    }

    fn add(&self, reason: impl FnOnce(&mut WakeReasons)) {
        reason(&mut self.reasons());
        self.notify.notify_one();
    }

    /// Counts a job that finished or was delayed. Wakes the feeder when there may be a `hook` to
    /// call, and when enough jobs left the queue to count it.
    pub fn job_left(&self, hook: bool) {
        let jobs_left = self.jobs_left.fetch_add(1, SeqCst) + 1;
        if hook {
            self.hook();
        }
        if self.needs_count(jobs_left) {
            self.notify.notify_one();
        }
    }

    /// Waits for a wakeup. Returns at once when there was one since the last wait.
    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }

    fn needs_count(&self, jobs_left: u64) -> bool {
        let count_at = self.count_at.load(SeqCst);
        count_at > 0 && jobs_left >= count_at
    }

    /// Returns the number of jobs that left the queue since the feeder last counted it.
    pub(super) fn jobs_left(&self) -> u64 {
        self.jobs_left.load(SeqCst)
    }

    /// Takes the recorded reasons, and whether to count the queue. Jobs that leave the queue from
    /// now on count for the next time.
    pub(super) fn take(&self) -> (WakeReasons, bool) {
        let count = self.needs_count(self.jobs_left.load(SeqCst));
        if count {
            self.jobs_left.store(0, SeqCst);
        }
        (std::mem::take(&mut self.reasons()), count)
    }

    /// Sets when to count a queue that has `queued` jobs after a refill; `None` when the ledger has
    /// no more jobs.
    ///
    /// Other processes may take jobs too, and each process counts only its own. The queue is
    /// therefore counted long before this process alone could empty it.
    pub(super) fn count_after_refill(&self, queued: Option<u64>) {
        self.count_at.store(queued.map_or(0, |queued| (queued / 8).clamp(1, 250)), SeqCst);
        if self.needs_count(self.jobs_left.load(SeqCst)) {
            self.notify.notify_one();
        }
    }

    fn reasons(&self) -> MutexGuard<'_, WakeReasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_notified(wakeup: &Wakeup) -> bool {
        timeout(Duration::from_millis(1), wakeup.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn collects_the_reasons_of_several_wakeups() {
        let (wakeup, batches) = (Wakeup::default(), [1, 2].map(|id| BatchId::new(id).unwrap()));

        batches.into_iter().for_each(|batch| wakeup.batch(batch));
        wakeup.hook();

        assert!(is_notified(&wakeup).await && !is_notified(&wakeup).await);
        let reasons = WakeReasons { batches: batches.into(), hooks: true, all: false };
        assert_eq!(wakeup.take(), (reasons, false));
        assert_eq!(wakeup.take(), (WakeReasons::default(), false));
    }

    #[tokio::test(start_paused = true)]
    async fn counts_the_queue_long_before_it_is_empty() {
        let wakeup = Wakeup::default();
        wakeup.job_left(false);
        assert!(!is_notified(&wakeup).await, "the ledger has no more jobs");

        wakeup.count_after_refill(Some(80));
        let mut jobs = 0;
        while !is_notified(&wakeup).await {
            wakeup.job_left(false);
            jobs += 1;
        }

        // One job left the queue before.
        assert_eq!((jobs, wakeup.take().1), (9, true));
        assert!(!wakeup.take().1, "the count was taken");
        wakeup.count_after_refill(None);
        (0..1_000).for_each(|_| wakeup.job_left(false));
        assert!(!is_notified(&wakeup).await, "the ledger has no more jobs");
    }
}
