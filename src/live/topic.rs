//! One watched batch: its latest record, and the slot that its watchers read.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use tokio::{sync::watch, time::Instant};

use crate::{
    domain::{BatchRecord, Progress},
    ledger::BatchChange,
};

/// How long a finished batch is kept for the watchers of all batches. Must be longer than the ten
/// seconds for which the ledger returns it.
const FINISHED_KEPT: TimeDelta = TimeDelta::seconds(20);

/// How old a record may be before its number of recent items is set to 0.
const RECENT_ITEMS_MAX_AGE: Duration = Duration::from_secs(10);

/// What a watcher of a batch reads.
#[derive(Debug, Clone, Default)]
pub(super) enum Slot {
    /// The batch was not read yet.
    #[default]
    Unread,
    /// There is no such batch.
    Missing,
    /// The latest progress.
    Read(Arc<Progress>),
}

impl Slot {
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Read(progress) if progress.status.is_finished())
    }
}

/// A watched batch.
#[derive(Default)]
pub(super) struct Topic {
    slot: watch::Sender<Slot>,
    read: Option<Read>,
}

struct Read {
    record: BatchRecord,
    /// The version of the last read, or 0 after a change of this process.
    version: u64,
    /// When the record was current.
    at: Instant,
}

impl Topic {
    /// Adds a watcher. If the batch was last seen as finished or missing, the watcher waits for
    /// another read: the batch may have been retried or created since.
    pub fn subscribe_anew(&mut self) -> watch::Receiver<Slot> {
        let is_settled = matches!(*self.slot.borrow(), Slot::Missing) || self.slot.borrow().is_finished();
        if is_settled {
            self.read = None;
            self.slot.send_replace(Slot::Unread);
        }
        self.slot.subscribe()
    }

    pub fn is_watched(&self) -> bool {
        self.slot.receiver_count() > 0
    }

    /// Whether watchers of all batches see the batch: it is open, or finished a moment ago.
    pub fn is_open_or_just_finished(&self) -> bool {
        let Some(read) = &self.read else { return false };
        read.record.finished_at.is_none_or(|finished| Utc::now() - finished < FINISHED_KEPT)
    }

    pub const fn is_unread(&self) -> bool {
        self.read.is_none()
    }

    /// The version that is known, or 0.
    pub fn version(&self) -> u64 {
        self.read.as_ref().map_or(0, |read| read.version)
    }

    /// Stores a change that this process made. Its version is not known, and a read may have found
    /// a later one, so the next read returns the batch in any case.
    pub fn changed(&mut self, record: &BatchRecord) {
        self.read = Some(Read { record: record.clone(), version: 0, at: Instant::now() });
    }

    /// Stores the result of a read that began at `started`. A change that this process made since
    /// is newer.
    pub fn store(&mut self, change: BatchChange, started: Instant) {
        let is_newer = self.read.as_ref().is_none_or(|read| read.at <= started && read.version < change.version);
        if is_newer {
            self.read = Some(Read { record: change.record, version: change.version, at: started });
        }
    }

    /// A read did not find the batch.
    pub fn not_found(&mut self) {
        if self.read.is_none() {
            self.slot.send_replace(Slot::Missing);
        }
    }

    /// Computes the progress and returns it. Notifies watchers if it changed.
    pub fn publish(&mut self, progress: impl Fn(&BatchRecord) -> Progress) -> Option<Arc<Progress>> {
        let read = self.read.as_mut()?;
        if read.at.elapsed() > RECENT_ITEMS_MAX_AGE {
            read.record.activity.recent_items = 0;
        }
        let new = progress(&read.record);
        self.slot.send_if_modified(|slot| {
            let is_changed = !matches!(slot, Slot::Read(last) if **last == new);
            if is_changed {
                *slot = Slot::Read(Arc::new(new));
            }
            is_changed
        });
        match &*self.slot.borrow() {
            Slot::Read(progress) => Some(Arc::clone(progress)),
            Slot::Unread | Slot::Missing => None,
        }
    }
}
