//! What calls the feeder, and how often.
//!
//! Calls that come together are answered together: a call only notes what it is for, and the next
//! round takes all notes.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use crate::domain::BatchId;

/// Calls the feeder.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    notify: Notify,
    calls: Mutex<Calls>,
    /// Jobs that ended since the last round that looked for more.
    ended: AtomicU64,
    /// So many have to end before the queue is filled up again; 0 when the ledger has no more than
    /// is in it.
    refill: AtomicU64,
}

/// What the feeder was called for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// Batches whose jobs are new in the ledger, or were taken out of the queue.
    pub batches: HashSet<BatchId>,
    /// There may be hooks to call.
    pub hooks: bool,
    /// There may be anything.
    pub all: bool,
}

impl Wakeup {
    /// There may be work of any kind.
    pub fn wake(&self) {
        self.call(|calls| calls.all = true);
    }

    /// There are jobs of this batch to offer.
    pub fn batch(&self, batch: BatchId) {
        self.call(|calls| {
            calls.batches.insert(batch);
        });
    }

    /// There is a hook to call.
    pub fn hook(&self) {
        self.call(|calls| calls.hooks = true);
    }

    fn call(&self, what: impl FnOnce(&mut Calls)) {
        what(&mut self.calls());
        self.notify.notify_one();
    }

    /// A job ended, or waits for its next attempt: there may be a hook to call, or room for jobs
    /// that were left out.
    pub fn ended(&self, hook: bool) {
        let ended = self.ended.fetch_add(1, SeqCst) + 1;
        if hook {
            self.hook();
        }
        if self.wants_refill(ended) {
            self.notify.notify_one();
        }
    }

    /// Waits for a call. One that came since the last wait ended is enough.
    pub(super) async fn called(&self) {
        self.notify.notified().await;
    }

    fn wants_refill(&self, ended: u64) -> bool {
        let refill = self.refill.load(SeqCst);
        refill > 0 && ended >= refill
    }

    /// Jobs that ended since the queue was filled up last.
    pub(super) fn ended_since(&self) -> u64 {
        self.ended.load(SeqCst)
    }

    /// What a round that begins now is for. Jobs that end from here on make room that it may not
    /// see.
    pub(super) fn answer(&self) -> (Calls, bool) {
        let refill = self.wants_refill(self.ended.load(SeqCst));
        if refill {
            self.ended.store(0, SeqCst);
        }
        (std::mem::take(&mut self.calls()), refill)
    }

    /// A round left jobs out, while so many are in the queue; or none. Several processes may work
    /// them, and each counts its own ends alone, so the queue is filled up again long before it is
    /// empty.
    pub(super) fn left_out(&self, queued: Option<u64>) {
        self.refill.store(queued.map_or(0, |queued| (queued / 8).clamp(1, 250)), SeqCst);
        if self.wants_refill(self.ended.load(SeqCst)) {
            self.notify.notify_one();
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_called(wakeup: &Wakeup) -> bool {
        timeout(Duration::from_millis(1), wakeup.called()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_together_are_answered_together() {
        let (wakeup, batches) = (Wakeup::default(), [1, 2].map(|id| BatchId::new(id).unwrap()));

        batches.into_iter().for_each(|batch| wakeup.batch(batch));
        wakeup.hook();

        assert!(is_called(&wakeup).await && !is_called(&wakeup).await);
        let calls = Calls { batches: batches.into(), hooks: true, all: false };
        assert_eq!(wakeup.answer(), (calls, false));
        assert_eq!(wakeup.answer(), (Calls::default(), false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_filled_up_again_long_before_it_is_empty() {
        let wakeup = Wakeup::default();
        wakeup.ended(false);
        assert!(!is_called(&wakeup).await, "nothing was left out");

        wakeup.left_out(Some(80));
        let mut ends = 0;
        while !is_called(&wakeup).await {
            wakeup.ended(false);
            ends += 1;
        }

        // One ended before.
        assert_eq!((ends, wakeup.answer().1), (9, true));
        assert!(!wakeup.answer().1, "it is answered");
        wakeup.left_out(None);
        (0..1_000).for_each(|_| wakeup.ended(false));
        assert!(!is_called(&wakeup).await, "all there is is in the queue");
    }
}
