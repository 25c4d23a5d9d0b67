//! The watched batches, and what their watchers read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    event_limiter::EventLimiter,
    limits::{TooManyWatchers, WatcherLimits},
    topic::Topic,
    watch_all::{Overview, WatchAll},
    watch_one::Watch,
};
use crate::{
    domain::{BatchId, BatchRecord, Progress},
    ledger::{BatchChange, ChangeQuery},
};

/// How long to wait for the connection of an ended stream to close.
const CLOSE_TIME: Duration = Duration::from_millis(100);

/// The batches that are watched in this process, and who watches them.
pub(crate) struct Live {
    watched: Mutex<Watched>,
    /// Notified when there is something to read or to publish.
    wake: Notify,
    limits: WatcherLimits,
    limiter: EventLimiter,
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
            limits: WatcherLimits::default(),
            limiter: EventLimiter::default(),
        }
    }
}

impl Live {
    /// Watches one batch, for `caller` if the host identifies callers.
    pub fn watch(&self, batch: BatchId, caller: Option<&str>) -> Result<Watch, TooManyWatchers> {
        let permit = self.limits.permit(caller)?;
        let receiver = self.watched().topics.entry(batch).or_default().subscribe_anew();
        self.wake.notify_one();
        Ok(Watch::new(receiver, self.limiter.clone(), permit))
    }

    /// Watches all batches.
    pub fn watch_all(&self, caller: Option<&str>) -> Result<WatchAll, TooManyWatchers> {
        let permit = self.limits.permit(caller)?;
        let receiver = self.watched().all.subscribe();
        self.wake.notify_one();
        Ok(WatchAll::new(receiver, self.limiter.clone(), permit))
    }

    /// Stores a change that this process made, so that its watchers see it without a read.
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
        watched.topics.retain(|_, topic| topic.is_watched() || (includes_open && topic.is_open_or_just_finished()));
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

    /// Shows watchers what changed, as `progress` computes it. Watchers of all batches get their
    /// first event only if the last read succeeded.
    pub fn publish(&self, is_read: bool, progress: impl Fn(&BatchRecord) -> Progress) {
        let mut watched = self.watched();
        let mut batches = BTreeMap::new();
        for (batch, topic) in &mut watched.topics {
            if let Some(progress) = topic.publish(&progress)
                && topic.is_open_or_just_finished()
            {
                batches.insert(*batch, progress);
            }
        }
        let is_watched = watched.all.receiver_count() > 0;
        watched.all.send_if_modified(|last| {
            let is_first = is_read && !last.is_read;
            let is_changed = is_watched && (is_first || (last.is_read && last.batches != batches));
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

    /// Returns the number of watchers.
    #[cfg(feature = "metrics")]
    pub fn watchers(&self) -> usize {
        self.limits.watchers().0
    }

    /// Waits until all watchers are gone, at most `limit`, and a moment longer for their
    /// connections to close. They end by themselves when a shutdown starts.
    ///
    /// Rocket looks for open connections when the shutdown fairings have returned. If it finds one,
    /// it waits for the whole grace period, even if that connection closes at once.
    pub async fn until_unwatched(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.limits.watchers().0 > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(5)).await;
        }
        if let (_, Some(left_at)) = self.limits.watchers() {
            sleep_until(left_at + CLOSE_TIME).await;
        }
    }

    /// Waits until there is something to read or to publish. Cancel safe.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
