//! A watcher of one batch.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{event_limiter::EventLimiter, limits::WatchPermit, topic::Slot};
use crate::domain::Progress;

/// Watches one batch until it finishes.
pub(crate) struct Watch {
    slot: watch::Receiver<Slot>,
    limiter: EventLimiter,
    _permit: WatchPermit,
    sent: Option<Arc<Progress>>,
    sent_at: Instant,
}

impl Watch {
    pub(super) fn new(slot: watch::Receiver<Slot>, limiter: EventLimiter, permit: WatchPermit) -> Self {
        Self { slot, limiter, _permit: permit, sent: None, sent_at: Instant::now() }
    }

    /// Waits until the batch was read, and returns whether it exists. Cancel safe.
    pub async fn exists(&mut self) -> bool {
        let read = self.slot.wait_for(|slot| !matches!(slot, Slot::Unread)).await;
        read.is_ok_and(|slot| matches!(*slot, Slot::Read(_)))
    }

    /// Waits for the next progress: the present one at first, then the latest one after a change,
    /// at most four a second. Returns `None` after that of the finished batch. Cancel safe.
    pub async fn next(&mut self) -> Option<Arc<Progress>> {
        while !self.sent.as_ref().is_some_and(|sent| sent.status.is_finished()) {
            if self.latest().is_some() {
                self.wait_for_turn().await;
                if let Some(latest) = self.latest() {
                    self.sent = Some(Arc::clone(&latest));
                    self.sent_at = Instant::now();
                    return Some(latest);
                }
            }
            self.slot.changed().await.ok()?;
        }
        None
    }

    /// The latest progress, if this watcher has not got it.
    fn latest(&mut self) -> Option<Arc<Progress>> {
        match &*self.slot.borrow_and_update() {
            Slot::Read(latest) if self.sent.as_ref() != Some(latest) => Some(Arc::clone(latest)),
            Slot::Read(_) | Slot::Unread | Slot::Missing => None,
        }
    }

    /// Waits until this watcher may get an event. It gets the first and the last one at once.
    async fn wait_for_turn(&mut self) {
        if self.sent.is_some() && !self.slot.borrow().is_finished() {
            let turn = self.limiter.turn(1, self.sent_at);
            let _ = timeout_at(turn, self.slot.wait_for(Slot::is_finished)).await;
        }
    }
}
