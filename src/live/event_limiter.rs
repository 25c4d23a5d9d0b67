//! Bounds the events that a watcher gets per second, and all watchers of a process together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two events of one batch to one watcher, and between two reads.
pub(crate) const EVENT_INTERVAL: Duration = Duration::from_millis(250);

/// The time that each event takes up: at most 1,000 events a second.
const PER_EVENT: Duration = Duration::from_millis(1);

/// Gives each event its turn. With more watchers, each of them gets fewer events.
/// Clones share the same turns.
#[derive(Debug, Clone, Default)]
pub(super) struct EventLimiter(Arc<Mutex<Option<Instant>>>);

impl EventLimiter {
    /// Reserves the next turn for `events` events of a watcher whose last event was sent at
    /// `last`. Returns when the turn begins.
    pub fn turn(&self, events: usize, last: Instant) -> Instant {
        self.reserve(events).max(last + EVENT_INTERVAL)
    }

    fn reserve(&self, events: usize) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let turn = next.unwrap_or(now).max(now);
        *next = Some(turn + PER_EVENT * u32::try_from(events).unwrap_or(u32::MAX));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn at_most_1000_events_a_second_have_their_turn() {
        let (limiter, start) = (EventLimiter::default(), Instant::now());

        let turns: Vec<_> = (0..3_000).map(|_| limiter.reserve(1) - start).collect();

        assert_eq!(turns.first(), Some(&Duration::ZERO));
        assert_eq!(turns.iter().filter(|turn| turn.as_secs() < 1).count(), 1_000);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limiter.reserve(500), Instant::now(), "turns that nobody took are not saved up");
        assert_eq!(limiter.reserve(1) - Instant::now(), Duration::from_millis(500));
    }
}
