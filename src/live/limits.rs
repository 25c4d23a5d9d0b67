//! How many may watch at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// The maximum number of watchers in a process.
const MAX_WATCHERS: usize = 10_000;
/// The maximum number of watchers of one caller.
const MAX_PER_CALLER: usize = 20;

/// Why a caller may not watch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooManyWatchers {
    /// This process has as many watchers as it can have.
    InProcess,
    /// This caller has the maximum number of streams.
    OfCaller,
}

/// Counts the watchers.
#[derive(Debug, Clone)]
pub(super) struct WatcherLimits {
    max: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// When a watcher left most recently.
    left_at: Option<Instant>,
    callers: HashMap<Arc<str>, usize>,
}

/// The permit of one watcher, returned when this is dropped.
#[derive(Debug)]
pub(super) struct WatchPermit {
    limits: WatcherLimits,
    caller: Option<Arc<str>>,
}

impl Default for WatcherLimits {
    fn default() -> Self {
        Self::of(MAX_WATCHERS.min(max_open_files().map_or(MAX_WATCHERS, |files| files / 2)))
    }
}

impl WatcherLimits {
    fn of(max: usize) -> Self {
        Self { max, counts: Arc::default() }
    }

    /// Returns a permit to watch. `None` stands for callers that the host does not identify.
    pub fn permit(&self, caller: Option<&str>) -> Result<WatchPermit, TooManyWatchers> {
        let mut counts = self.counts();
        if counts.all >= self.max {
            return Err(TooManyWatchers::InProcess);
        }
        let caller: Option<Arc<str>> = caller.map(Arc::from);
        if let Some(caller) = &caller {
            let watching = counts.callers.entry(Arc::clone(caller)).or_default();
            if *watching >= MAX_PER_CALLER {
                return Err(TooManyWatchers::OfCaller);
            }
            *watching += 1;
        }
        counts.all += 1;
        Ok(WatchPermit { limits: self.clone(), caller })
    }

    /// Returns the number of watchers, and when one left most recently.
    pub fn watchers(&self) -> (usize, Option<Instant>) {
        let counts = self.counts();
        (counts.all, counts.left_at)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WatchPermit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts();
        counts.all = counts.all.saturating_sub(1);
        counts.left_at = Some(Instant::now());
        if let Some(caller) = &self.caller
            && let Some(watching) = counts.callers.get_mut(caller)
        {
            *watching -= 1;
            if *watching == 0 {
                counts.callers.remove(caller);
            }
        }
    }
}

/// The number of files and connections that this process may have open, where the system says so.
fn max_open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_20_permits_and_gets_them_back() {
        let limits = WatcherLimits::of(1_000);

        let mut held: Vec<_> = (0..MAX_PER_CALLER).map(|_| limits.permit(Some("ada")).unwrap()).collect();

        assert_eq!(limits.permit(Some("ada")).unwrap_err(), TooManyWatchers::OfCaller);
        assert!(limits.permit(Some("bob")).is_ok() && limits.permit(None).is_ok());
        held.pop();
        assert!(limits.permit(Some("ada")).is_ok());
        drop(held);
        let counts = limits.counts();
        assert_eq!((counts.all, counts.callers.len()), (0, 0));
    }

    #[test]
    fn a_process_has_a_limited_number_of_permits() {
        let limits = WatcherLimits::of(30);

        let held: Vec<_> = (0..30).map(|_| limits.permit(None).unwrap()).collect();

        assert_eq!(limits.permit(Some("ada")).unwrap_err(), TooManyWatchers::InProcess);
        drop(held);
        assert!(limits.permit(Some("ada")).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn knows_how_many_files_may_be_open() {
        assert!(max_open_files().unwrap() >= 64);
    }
}
