//! Updates the summaries of open batches, which lists read.
//!
//! ```text
//!   attempts ──▶ changed, inserted ──▶ batches to count ──▶ Ledger::summarize, at most 4 times/s
//!                                        ▲                       │
//!                                        └── failed, or just counted by another process
//! ```
//!
//! An attempt only marks its batch as changed. The counts are read from the ledger, so they are
//! correct whichever process made the changes. A mark that is lost with its process only delays the
//! count.
//!
//! A batch stays marked until this process has counted it, so a count always follows the last
//! change. When several processes work on a batch, one of them counts it at a time. The others then
//! find a recent count and try again later. After the last change, each of them counts the batch
//! once.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};

use crate::{
    domain::{BatchId, ProcessId},
    ledger::{LedgerError, RecentWork},
};

/// Number of batches in one call.
const BATCHES_PER_CALL: usize = 20;
/// Number of seconds for which items count as recent.
const RECENT_SECONDS: u64 = 10;

/// The batches to count, and the items that this process inserted in the last ten seconds.
#[derive(Debug)]
pub(crate) struct Summaries {
    /// Identifies this run of the process.
    process: u64,
    batches: Mutex<HashMap<BatchId, Recent>>,
    changed: Notify,
    /// Whether the last count failed.
    failed: AtomicBool,
    start: Instant,
}

impl Summaries {
    /// No changes yet. `process` identifies this run of the process.
    pub fn new(process: ProcessId) -> Self {
        Self {
            process: process.0,
            batches: Mutex::default(),
            changed: Notify::new(),
            failed: AtomicBool::new(false),
            start: Instant::now(),
        }
    }
}

/// The recent changes of one batch.
#[derive(Debug, Default)]
struct Recent {
    to_count: bool,
    /// Number of inserted items by second, modulo [`RECENT_SECONDS`].
    items: [u64; RECENT_SECONDS as usize],
    /// The last second with a change.
    second: u64,
    last_item_at: Option<DateTime<Utc>>,
}

impl Recent {
    fn inserted(&mut self, items: u64, second: u64) {
        self.clear_before(second);
        *self.slot(second) += items;
        self.last_item_at = Some(Utc::now());
    }

    /// Returns the number of items of the last [`RECENT_SECONDS`] seconds, up to `second`.
    fn items(&mut self, second: u64) -> u64 {
        self.clear_before(second);
        self.items.iter().sum()
    }

    #[expect(clippy::indexing_slicing, reason = "the index is a remainder of the length")]
    fn slot(&mut self, second: u64) -> &mut u64 {
        &mut self.items[(second % RECENT_SECONDS) as usize]
    }

    fn clear_before(&mut self, second: u64) {
        for passed in (self.second + 1..=second).take(RECENT_SECONDS as usize) {
            *self.slot(passed) = 0;
        }
        self.second = self.second.max(second);
    }
}

impl Summaries {
    /// Marks `batch` as changed.
    pub fn changed(&self, batch: BatchId) {
        self.mark(batch, |_| {});
    }

    /// Marks `batch` as changed and counts inserted items.
    pub fn inserted(&self, batch: BatchId, items: u64) {
        let second = self.second();
        self.mark(batch, |recent| recent.inserted(items, second));
    }

    /// Forgets a finished batch: lists read its stored counts and no summary.
    pub(super) fn finished(&self, batch: BatchId) {
        self.batches().remove(&batch);
    }

    fn mark(&self, batch: BatchId, change: impl FnOnce(&mut Recent)) {
        let mut batches = self.batches();
        let first = batches.is_empty();
        let recent = batches.entry(batch).or_default();
        change(recent);
        recent.to_count = true;
        if first {
            self.changed.notify_one();
        }
    }

    /// Takes the marked batches, and removes batches without recent changes.
    fn take(&self) -> Vec<RecentWork> {
        let second = self.second();
        let mut batches = self.batches();
        batches.retain(|_, recent| recent.to_count || recent.items(second) > 0);
        let to_count = |(batch, recent): (&BatchId, &mut Recent)| {
            let (items, last_item_at) = (recent.items(second), recent.last_item_at);
            std::mem::take(&mut recent.to_count).then_some(RecentWork { batch: *batch, items, last_item_at })
        };
        batches.iter_mut().filter_map(to_count).collect()
    }

    /// Counts the marked batches with `summarize`, in portions. `summarize` returns the batches
    /// that it did not count; these stay marked. After an error, all batches that were not counted
    /// stay marked.
    pub(super) async fn count_with<F>(
        &self,
        summarize: impl Fn(u64, Vec<RecentWork>) -> F,
    ) -> Result<Remaining, LedgerError>
    where
        F: Future<Output = Result<Vec<BatchId>, LedgerError>>,
    {
        let mut work = self.take();
        // After a failure, counts batches one by one and in random sequence. A batch that can't be
        // counted then does not block the others for long.
        let portion = if self.failed.swap(false, Relaxed) { 1 } else { BATCHES_PER_CALL };
        fastrand::shuffle(&mut work);
        let mut remaining = Remaining::Nothing;
        let mut portions = work.chunks(portion);
        while let Some(portion) = portions.next() {
            match summarize(self.process, portion.to_vec()).await {
                Ok(left) => {
                    left.iter().for_each(|batch| self.changed(*batch));
                    remaining = if left.is_empty() { remaining } else { Remaining::Marked };
                }
                Err(error) => {
                    self.failed.store(true, Relaxed);
                    let left = portion.iter().chain(portions.flatten());
                    left.for_each(|work| self.changed(work.batch));
                    return Err(error);
                }
            }
        }
        Ok(remaining)
    }

    /// Waits until the map has a batch: a marked one, or one with items of the last ten seconds.
    /// Cancel safe.
    pub(super) async fn wait_for_batch(&self) {
        while self.batches().is_empty() {
            self.changed.notified().await;
        }
    }

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn batches(&self) -> MutexGuard<'_, HashMap<BatchId, Recent>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether batches are still marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaining {
    /// No batch is marked.
    Nothing,
    /// At least one batch is marked.
    Marked,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn counts_items_as_recent_for_ten_seconds() {
        let mut recent = Recent::default();

        recent.inserted(5, 0);
        recent.inserted(7, 3);
        recent.inserted(1, 3);

        let seen: Vec<_> = [3, 9, 10, 12, 13, 1_000].map(|second| recent.items(second)).into();
        assert_eq!(seen, [13, 13, 8, 8, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn counts_a_changed_batch_once_and_removes_it_later() {
        let (summaries, batch) = (Summaries::new(ProcessId(1)), BatchId::new(7).unwrap());

        summaries.changed(batch);
        summaries.inserted(batch, 50);
        let first = summaries.take();
        assert_eq!((first.len(), first[0].batch, first[0].items), (1, batch, 50));
        assert!(first[0].last_item_at.is_some());
        assert_eq!(summaries.take(), [], "nothing changed since");

        tokio::time::advance(Duration::from_secs(RECENT_SECONDS + 1)).await;
        assert_eq!(summaries.take(), []);
        assert!(summaries.batches().is_empty());
    }

    #[test]
    fn does_not_count_a_finished_batch() {
        let (summaries, [finished, open]) = (Summaries::new(ProcessId(1)), [7, 8].map(|id| BatchId::new(id).unwrap()));

        [finished, open].into_iter().for_each(|batch| summaries.inserted(batch, 50));
        summaries.finished(finished);

        assert_eq!(summaries.take().iter().map(|work| work.batch).collect::<Vec<_>>(), [open]);
    }

    fn rejected() -> LedgerError {
        LedgerError::Rejected { why: "not now".into() }
    }

    #[tokio::test]
    async fn keeps_a_batch_marked_until_it_is_counted() {
        let (summaries, batch) = (Summaries::new(ProcessId(1)), BatchId::new(7).unwrap());
        summaries.changed(batch);

        let failed = summaries.count_with(async |_, _| Err(rejected())).await;
        let skipped = summaries.count_with(async |_, work| Ok(vec![work[0].batch])).await;
        let counted =
            summaries.count_with(async |_, work| Ok(vec![]).inspect(|_: &Vec<_>| assert_eq!(work.len(), 1))).await;

        assert!(failed.is_err());
        assert_eq!((skipped.unwrap(), counted.unwrap()), (Remaining::Marked, Remaining::Nothing));
        assert_eq!(summaries.take(), []);
    }

    /// A statement over several batches may never succeed because of one of them.
    #[tokio::test]
    async fn counts_other_batches_beside_one_that_always_fails() {
        let (summaries, failing) = (Summaries::new(ProcessId(1)), BatchId::new(1).unwrap());
        (1..=100).for_each(|id| summaries.changed(BatchId::new(id).unwrap()));

        for _ in 0..1_000 {
            let _failed = summaries
                .count_with(async |_, work| {
                    assert!(work.len() <= BATCHES_PER_CALL);
                    if work.iter().any(|work| work.batch == failing) { Err(rejected()) } else { Ok(vec![]) }
                })
                .await;
        }

        assert_eq!(summaries.take().iter().map(|work| work.batch).collect::<Vec<_>>(), [failing]);
    }
}
