//! A watcher of all batches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{event_limiter::EventLimiter, limits::WatchPermit};
use crate::domain::{BatchId, Progress};

/// The latest progress of all batches that are open or have just finished.
#[derive(Debug, Default)]
pub(super) struct Overview {
    /// Whether the batches were read.
    pub is_read: bool,
    pub batches: BTreeMap<BatchId, Arc<Progress>>,
}

/// An event of a watcher of all batches.
#[derive(Debug, Clone)]
pub(crate) enum AllEvent {
    /// The open batches, by id, the highest first. Always the first event.
    Snapshot(Vec<Arc<Progress>>),
    /// A batch that changed.
    Changed(Arc<Progress>),
}

/// Watches all batches, also those that are created later.
pub(crate) struct WatchAll {
    overview: watch::Receiver<Arc<Overview>>,
    limiter: EventLimiter,
    _permit: WatchPermit,
    /// What this watcher got last of each batch, if it has had a snapshot.
    sent: Option<BTreeMap<BatchId, Arc<Progress>>>,
    sent_at: Instant,
    /// Taken from the overview, and not returned yet.
    changed: VecDeque<Arc<Progress>>,
}

impl WatchAll {
    pub(super) fn new(overview: watch::Receiver<Arc<Overview>>, limiter: EventLimiter, permit: WatchPermit) -> Self {
        Self { overview, limiter, _permit: permit, sent: None, sent_at: Instant::now(), changed: VecDeque::new() }
    }

    /// Waits for the next event. `None` when the process ends. Cancel safe.
    pub async fn next(&mut self) -> Option<AllEvent> {
        if self.sent.is_none() {
            return self.snapshot().await.map(AllEvent::Snapshot);
        }
        loop {
            if let Some(changed) = self.changed.pop_front() {
                return Some(AllEvent::Changed(changed));
            }
            self.wait_for_turn().await;
            self.take_changes();
            if self.changed.is_empty() {
                self.overview.changed().await.ok()?;
            }
        }
    }

    async fn snapshot(&mut self) -> Option<Vec<Arc<Progress>>> {
        let overview = self.overview.wait_for(|overview| overview.is_read).await.ok()?.clone();
        self.sent = Some(overview.batches.clone());
        let open = overview.batches.values().rev().filter(|progress| !progress.status.is_finished());
        Some(open.cloned().collect())
    }

    /// The batches of `overview` that differ from what this watcher got last.
    fn changes<'a>(&self, overview: &'a Overview) -> impl Iterator<Item = &'a Arc<Progress>> {
        let is_new = |progress: &&Arc<Progress>| {
            self.sent.as_ref().is_none_or(|sent| sent.get(&progress.batch_id) != Some(progress))
        };
        overview.batches.values().filter(is_new)
    }

    /// Waits until this watcher may get as many events as there are changes.
    async fn wait_for_turn(&self) {
        let overview = Arc::clone(&self.overview.borrow());
        let changes = self.changes(&overview).count();
        if changes > 0 {
            sleep_until(self.limiter.turn(changes, self.sent_at)).await;
        }
    }

    fn take_changes(&mut self) {
        let overview = Arc::clone(&self.overview.borrow_and_update());
        self.changed = self.changes(&overview).cloned().collect();
        self.sent = Some(overview.batches.clone());
        self.sent_at = Instant::now();
    }
}
