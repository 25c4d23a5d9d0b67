//! Watchers of batches: one reader of changes per process, however many watch.
//!
//! ```text
//!   ledger ──▶ the reader (service/live.rs) ──store──▶ Live ──publish──▶ one slot per batch ──▶ watchers
//!                                                       ▲
//!   a batch closed or changed by this process ──────────┘
//! ```
//!
//! A slot has the latest progress only, so a slow watcher skips what it was too slow for, and
//! nothing is queued for it. Nothing here is on the path of a chunk: changes are read from the
//! ledger, and only while somebody watches.

mod limits;
mod pace;
mod topic;
mod watch_all;
mod watch_one;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub(crate) use self::{
    limits::TooManyWatchers,
    watch_all::{AllEvent, WatchAll},
    watch_one::Watch,
};
use self::{
    limits::{Limits, Ticket},
    pace::Pace,
    topic::Topic,
    watch_all::Overview,
};
use crate::{
    domain::{BatchId, BatchRecord, Progress},
    ledger::{BatchChange, ChangeQuery},
};

/// The shortest time between two events of one batch to one watcher, and between two reads.
pub(crate) const EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// How long a finished batch is kept for the watchers of all batches. Longer than the ledger finds
/// it among the open ones.
const FINISHED_KEPT: TimeDelta = TimeDelta::seconds(20);

/// The batches that are watched in this process, and who watches them.
pub(crate) struct Live {
    watched: Mutex<Watched>,
    /// Notified when there is something to read or to publish.
    wake: Notify,
    limits: Limits,
    pace: Pace,
}

struct Watched {
    topics: HashMap<BatchId, Topic>,
    all: watch::Sender<Arc<Overview>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            watched: Mutex::new(Watched { topics: HashMap::new(), all: watch::Sender::default() }),
            wake: Notify::new(),
            limits: Limits::default(),
            pace: Pace::default(),
        }
    }
}

impl Live {
    /// Watches one batch, for `caller` if the host identifies callers.
    pub fn watch(self: &Arc<Self>, batch: BatchId, caller: Option<&str>) -> Result<Watch, TooManyWatchers> {
        let ticket = self.limits.ticket(caller)?;
        let receiver = self.watched().topics.entry(batch).or_default().subscribe();
        self.wake.notify_one();
        Ok(Watch::new(Guard { live: Arc::clone(self), _ticket: ticket }, receiver))
    }

    /// Watches all batches.
    pub fn watch_all(self: &Arc<Self>, caller: Option<&str>) -> Result<WatchAll, TooManyWatchers> {
        let ticket = self.limits.ticket(caller)?;
        let receiver = self.watched().all.subscribe();
        self.wake.notify_one();
        Ok(WatchAll::new(Guard { live: Arc::clone(self), _ticket: ticket }, receiver))
    }

    /// Takes a change that this process made, so that its watchers see it without a read.
    pub fn changed(&self, record: &BatchRecord) {
        let mut watched = self.watched();
        let all = watched.all.receiver_count() > 0;
        if let Some(topic) = watched.topics.get_mut(&record.batch_id) {
            topic.changed(record);
        } else if all {
            watched.topics.entry(record.batch_id).or_default().changed(record);
        } else {
            return;
        }
        drop(watched);
        self.wake.notify_one();
    }

    /// Returns what to read, or `None` while nobody watches. Forgets what nobody watches any more.
    pub fn query(&self) -> Option<ChangeQuery> {
        let mut watched = self.watched();
        let includes_open = watched.all.receiver_count() > 0;
        watched.topics.retain(|_, topic| topic.is_watched() || (includes_open && topic.is_recent()));
        if !includes_open {
            // The next watcher of all batches must not start with an old snapshot.
            watched.all.send_if_modified(|last| {
                *last = Arc::default();
                false
            });
        }
        let known: HashMap<_, _> = watched.topics.iter().map(|(batch, topic)| (*batch, topic.version())).collect();
        (includes_open || !known.is_empty()).then_some(ChangeQuery { known, includes_open })
    }

    /// Stores what a read that began at `started` found about the batches of `query`.
    pub fn store(&self, query: &ChangeQuery, changes: Vec<BatchChange>, started: Instant) {
        let mut watched = self.watched();
        for change in changes {
            watched.topics.entry(change.record.batch_id).or_default().store(change, started);
        }
        let unread = query.known.iter().filter(|(_, version)| **version == 0);
        for (batch, _) in unread {
            if let Some(topic) = watched.topics.get_mut(batch) {
                topic.not_found();
            }
        }
    }

    /// Shows watchers what changed, as `progress` computes it.
    pub fn publish(&self, progress: impl Fn(&BatchRecord) -> Progress) {
        let mut watched = self.watched();
        let mut batches = BTreeMap::new();
        for (batch, topic) in &mut watched.topics {
            if let Some(progress) = topic.publish(&progress)
                && topic.is_recent()
            {
                batches.insert(*batch, progress);
            }
        }
        let is_watched = watched.all.receiver_count() > 0;
        watched.all.send_if_modified(|last| {
            let is_changed = is_watched && (!last.is_read || last.batches != batches);
            if is_changed {
                *last = Arc::new(Overview { is_read: true, batches });
            }
            is_changed
        });
    }

    /// Whether a watched batch was not read yet.
    pub fn has_unread(&self) -> bool {
        let watched = self.watched();
        let all = watched.all.receiver_count() > 0 && !watched.all.borrow().is_read;
        all || watched.topics.values().any(Topic::is_unread)
    }

    /// Waits until there is something to read or to publish. Cancel safe.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a watcher holds while it watches.
struct Guard {
    live: Arc<Live>,
    _ticket: Ticket,
}
