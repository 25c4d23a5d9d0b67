//! Keeps the summaries of open batches, which lists read, close behind what this process does.
//!
//! ```text
//!   attempts ──▶ changed, wrote ──▶ batches to count ──▶ Ledger::summarize, a few times a second at most
//!                                        ▲                       │
//!                                        └── failed, or counted a moment ago by another process
//! ```
//!
//! An attempt only notes that something changed. The counts are taken from the ledger, so they are
//! right whoever changed what, and a note that is lost with its process costs nothing but time.
//!
//! A batch stays to be counted until this process has counted it, so a count always follows the
//! last change. However many processes work a batch, one of them counts it at a time: the others
//! find that it did, and look again. When nothing changes any more each of those counts it once,
//! and that is the end.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use chrono::{DateTime, Utc};
use tokio::{sync::Notify, time::Instant};

use super::Context;
use crate::{
    domain::BatchId,
    ledger::{COUNT_INTERVAL, LedgerError, RecentWork},
};

/// Batches that are counted at a time.
const PORTION: usize = 20;
/// Counting takes at most one part in so many of the time.
const PART_OF_THE_TIME: u32 = 20;
/// Seconds that recent items are counted for.
const RECENT: u64 = 10;

/// What this process did to open batches since they were counted last.
#[derive(Debug)]
pub(crate) struct Summaries {
    /// Names this start of the process.
    process: u64,
    batches: Mutex<HashMap<BatchId, Recent>>,
    changed: Notify,
    /// Whether the last count failed.
    failed: AtomicBool,
    start: Instant,
}

impl Default for Summaries {
    fn default() -> Self {
        Self {
            process: fastrand::u64(1..),
            batches: Mutex::default(),
            changed: Notify::new(),
            failed: AtomicBool::new(false),
            start: Instant::now(),
        }
    }
}

/// What was written in one batch lately.
#[derive(Debug, Default)]
struct Recent {
    to_count: bool,
    /// Items by the second in which they were written, modulo [`RECENT`].
    items: [u64; RECENT as usize],
    /// The second of the last ones.
    second: u64,
    last_item_at: Option<DateTime<Utc>>,
}

impl Recent {
    fn wrote(&mut self, items: u64, second: u64) {
        self.forget_before(second);
        self.items[(second % RECENT) as usize] += items;
        self.last_item_at = Some(Utc::now());
    }

    /// The items of the last seconds, up to `second`.
    fn items(&mut self, second: u64) -> u64 {
        self.forget_before(second);
        self.items.iter().sum()
    }

    fn forget_before(&mut self, second: u64) {
        for passed in (self.second + 1..=second).take(RECENT as usize) {
            self.items[(passed % RECENT) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

impl Summaries {
    /// Something changed in `batch`.
    pub fn changed(&self, batch: BatchId) {
        self.note(batch, |_| {});
    }

    /// So many items were written in `batch`.
    pub fn wrote(&self, batch: BatchId, items: u64) {
        let second = self.second();
        self.note(batch, |recent| recent.wrote(items, second));
    }

    fn note(&self, batch: BatchId, what: impl FnOnce(&mut Recent)) {
        let mut batches = self.batches();
        let first = batches.is_empty();
        let recent = batches.entry(batch).or_default();
        what(recent);
        recent.to_count = true;
        if first {
            self.changed.notify_one();
        }
    }

    /// Takes what is to be counted, and forgets batches in which nothing happened lately.
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

    /// Has `summarize` count what is to be counted, portion by portion. It answers what is still to
    /// be counted. After an error that is all that was not counted yet.
    async fn count_with<F>(&self, summarize: impl Fn(u64, Vec<RecentWork>) -> F) -> Result<Remaining, LedgerError>
    where
        F: Future<Output = Result<Vec<BatchId>, LedgerError>>,
    {
        let mut work = self.take();
        // One by one after a failure, and in another order each time: a batch that can't be counted
        // keeps no other from it for long.
        let portion = if self.failed.swap(false, Relaxed) { 1 } else { PORTION };
        fastrand::shuffle(&mut work);
        let mut remaining = Remaining::None;
        let mut portions = work.chunks(portion);
        while let Some(portion) = portions.next() {
            match summarize(self.process, portion.to_vec()).await {
                Ok(left) => {
                    left.iter().for_each(|batch| self.changed(*batch));
                    remaining = if left.is_empty() { remaining } else { Remaining::Some };
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

    fn second(&self) -> u64 {
        self.start.elapsed().as_secs()
    }

    fn batches(&self) -> MutexGuard<'_, HashMap<BatchId, Recent>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts until the drain begins.
pub(super) async fn keep_summaries(cx: &Context) {
    while !cx.draining.is_cancelled() {
        if cx.summaries.batches().is_empty() {
            cx.draining.run_until_cancelled(cx.summaries.changed.notified()).await;
        }
        let began = Instant::now();
        count_once(cx).await;
        cx.sleep_unless_draining(COUNT_INTERVAL.max(began.elapsed() * PART_OF_THE_TIME)).await;
    }
}

/// Counts what is to be counted, for the last time.
///
/// What another process counted a moment ago is looked at once more. Whoever counted it by then did
/// so after the first look, and so after the last change of this process.
pub(super) async fn count(cx: &Context) {
    if count_once(cx).await == Remaining::Some {
        tokio::time::sleep(COUNT_INTERVAL).await;
        count_once(cx).await;
    }
}

/// Whether there are batches that are still to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    None,
    Some,
}

async fn count_once(cx: &Context) -> Remaining {
    let ledger = &cx.ledger;
    let counting = cx.summaries.count_with(|process, work| ledger.summarize(process, work)).await;
    counting.unwrap_or_else(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "batches could not be counted");
        Remaining::Some
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn items_count_as_recent_for_ten_seconds() {
        let mut recent = Recent::default();

        recent.wrote(5, 0);
        recent.wrote(7, 3);
        recent.wrote(1, 3);

        let seen: Vec<_> = [3, 9, 10, 12, 13, 1_000].map(|second| recent.items(second)).into();
        assert_eq!(seen, [13, 13, 8, 8, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_counted_after_it_changed_and_forgotten_when_it_rests() {
        let (summaries, batch) = (Summaries::default(), BatchId::new(7).unwrap());

        summaries.changed(batch);
        summaries.wrote(batch, 50);
        let first = summaries.take();
        assert_eq!((first.len(), first[0].batch, first[0].items), (1, batch, 50));
        assert!(first[0].last_item_at.is_some());
        assert_eq!(summaries.take(), [], "nothing changed since");

        tokio::time::advance(Duration::from_secs(RECENT + 1)).await;
        assert_eq!(summaries.take(), []);
        assert!(summaries.batches().is_empty());
    }

    fn refused() -> LedgerError {
        LedgerError::Refused { why: "not now".into() }
    }

    #[tokio::test]
    async fn a_batch_stays_to_be_counted_until_it_is_counted() {
        let (summaries, batch) = (Summaries::default(), BatchId::new(7).unwrap());
        summaries.changed(batch);

        let failed = summaries.count_with(async |_, _| Err(refused())).await;
        let passed_over = summaries.count_with(async |_, work| Ok(vec![work[0].batch])).await;
        let counted =
            summaries.count_with(async |_, work| Ok(vec![]).inspect(|_: &Vec<_>| assert_eq!(work.len(), 1))).await;

        assert!(failed.is_err());
        assert_eq!((passed_over.unwrap(), counted.unwrap()), (Remaining::Some, Remaining::None));
        assert_eq!(summaries.take(), []);
    }

    /// A statement that counts one batch too many may never succeed.
    #[tokio::test]
    async fn a_batch_that_can_not_be_counted_keeps_no_other_from_it_for_long() {
        let (summaries, bad) = (Summaries::default(), BatchId::new(1).unwrap());
        (1..=100).for_each(|id| summaries.changed(BatchId::new(id).unwrap()));

        for _ in 0..1_000 {
            let _failed = summaries
                .count_with(async |_, work| {
                    assert!(work.len() <= PORTION);
                    if work.iter().any(|work| work.batch == bad) { Err(refused()) } else { Ok(vec![]) }
                })
                .await;
        }

        assert_eq!(summaries.take().iter().map(|work| work.batch).collect::<Vec<_>>(), [bad]);
    }
}
