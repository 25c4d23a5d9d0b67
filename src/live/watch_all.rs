//! A watcher of all batches.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
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
    /// The reserved turn for the present changes.
    turn: Option<Instant>,
    /// Taken from the overview, and not returned yet.
    pending: VecDeque<Arc<Progress>>,
}

impl WatchAll {
    pub(super) fn new(overview: watch::Receiver<Arc<Overview>>, limiter: EventLimiter, permit: WatchPermit) -> Self {
        Self {
            overview,
            limiter,
            _permit: permit,
            sent: None,
            sent_at: Instant::now(),
            turn: None,
            pending: VecDeque::new(),
        }
    }

    /// Waits for the next event. `None` when the process ends. Cancel safe.
    pub async fn next(&mut self) -> Option<AllEvent> {
        if self.sent.is_none() {
            return self.snapshot().await.map(AllEvent::Snapshot);
        }
        loop {
            // Ends need no turn: a finished batch is soon forgotten.
            self.take_changes(|progress| progress.status.is_finished());
            if let Some(next) = self.pending.pop_front() {
                return Some(AllEvent::Changed(next));
            }
            self.wait_for_turn().await?;
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

    /// Waits until this watcher may get as many events as there are changes, and takes them. Also
    /// returns when anything else changes.
    async fn wait_for_turn(&mut self) -> Option<()> {
        let overview = Arc::clone(&self.overview.borrow_and_update());
        let changes = self.changes(&overview).count();
        if changes == 0 {
            return self.overview.changed().await.ok();
        }
        let turn = *self.turn.get_or_insert_with(|| self.limiter.turn(changes, self.sent_at));
        match timeout_at(turn, self.overview.changed()).await {
            Ok(changed) => changed.ok(),
            Err(_) => {
                self.turn = None;
                self.sent_at = Instant::now();
                self.take_changes(|_| true);
                Some(())
            }
        }
    }

    /// Moves the changed batches that meet `condition` to `pending`.
    fn take_changes(&mut self, condition: impl Fn(&Progress) -> bool) {
        let overview = Arc::clone(&self.overview.borrow());
        let taken: Vec<_> = self.changes(&overview).filter(|progress| condition(progress)).cloned().collect();
        let sent = self.sent.get_or_insert_default();
        sent.retain(|batch, _| overview.batches.contains_key(batch));
        sent.extend(taken.iter().map(|progress| (progress.batch_id, Arc::clone(progress))));
        self.pending.extend(taken);
    }
}
