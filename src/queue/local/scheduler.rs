//! The rules of a queue in this process: which task is next, and when. Pure: the time and the
//! random jitter are arguments.
//!
//! ```text
//!            offer                next                finish
//!  absent ──────────▶ waiting ───────────▶ active ───────────────▶ absent
//!            │  (priority, arrival)          │  Ack, Fail, Discard,
//!            │           ▲                   │  the last Retry
//!            │           │ when due          │
//!            └───────▶ delayed ◀─────────────┘
//!                   (due, arrival)   Retry, Release
//! ```
//!
//! A task is in exactly one of `waiting`, `delayed` and `active`. `known` holds the ids of all
//! three, so an offer needs one lookup. Finished tasks are counted and not remembered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::rate_window::{RateWindow, add_span};
use crate::{
    config::QueueSettings,
    domain::{BatchId, JobId, StatusTask, Task, fair_priority},
    queue::contract::{Disposition, Offer, QueueCounts},
};

/// The delay of a released task. Without it, a handler that releases its task at once would keep
/// one core busy.
const RELEASE_DELAY: Duration = Duration::from_millis(50);

/// The answer to a worker that asks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Run this task.
    Take(Task),
    /// Ask again at this time, or after a change.
    At(Instant),
    /// Ask again after a change.
    AfterChange,
    /// Stop asking.
    Closed,
}

/// All tasks of a queue, and the rules by which they change state.
pub(super) struct Scheduler {
    settings: QueueSettings,
    window: RateWindow,
    waiting: BTreeMap<Position, Entry>,
    delayed: BTreeMap<(Instant, u64), Entry>,
    active: HashMap<Id, Entry>,
    known: HashSet<Id>,
    arrivals: u64,
    completed: u64,
    failed: u64,
    closed: bool,
}

/// The id of a task without its text. Two ids are equal if the texts of the tasks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Job(JobId),
    Status(StatusTask),
}

impl Id {
    const fn of(task: &Task) -> Self {
        match task {
            Task::Generate { job, .. } => Self::Job(*job),
            Task::Status(status) => Self::Status(*status),
        }
    }
}

/// The position of a waiting task; the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    priority: u64,
    arrival: u64,
}

/// A task with the facts that it keeps in every state.
#[derive(Debug)]
struct Entry {
    task: Task,
    priority: u64,
    attempts_made: u32,
    /// When it could start, or can start later.
    ready_at: Instant,
}

impl Scheduler {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            window: RateWindow::new(settings.throughput().rate_limit),
            settings,
            waiting: BTreeMap::new(),
            delayed: BTreeMap::new(),
            active: HashMap::new(),
            known: HashSet::new(),
            arrivals: 0,
            completed: 0,
            failed: 0,
            closed: false,
        }
    }

    /// Returns how many tasks may be active at a time. The global limit applies as well, because no
    /// other process uses this queue.
    pub(super) fn concurrency(&self) -> u32 {
        self.settings.global_concurrency.map_or(self.settings.concurrency, |max| max.min(self.settings.concurrency))
    }

    /// Adds the absent tasks and returns how many were absent.
    ///
    /// Ranks all offers of one call from the same head, so their priorities keep the distance of
    /// their ranks.
    pub(super) fn offer(&mut self, offers: &[Offer], now: Instant) -> u64 {
        let head = self.waiting.keys().next().map_or(0, |position| position.priority);
        let mut added = 0;
        for &Offer { task, rank, delay, attempts_made } in offers {
            if self.known.insert(Id::of(&task)) {
                let priority = fair_priority(head, rank);
                let entry = Entry { task, priority, attempts_made, ready_at: now };
                self.enqueue(entry, now, delay);
                added += 1;
            }
        }
        added
    }

    /// Returns the next task for an idle worker, or when to ask again. A taken task is active until
    /// [`Scheduler::finish`].
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.closed {
            return Next::Closed;
        }
        if self.active.len() >= self.concurrency() as usize {
            return Next::AfterChange;
        }
        self.promote(now);
        if self.waiting.is_empty() {
            return self.delayed.keys().next().map_or(Next::AfterChange, |&(due, _)| Next::At(due));
        }
        self.window.closed_until(now).map_or_else(|| self.take(now), Next::At)
    }

    /// Returns how long an active task could have started when it was taken, at `now`.
    pub(super) fn waited(&self, task: &Task, now: Instant) -> Option<Duration> {
        self.active.get(&Id::of(task)).map(|entry| now.saturating_duration_since(entry.ready_at))
    }

    /// Applies a handler's disposition. `jitter` is a random number, 0 to 1, which shortens the
    /// backoff of a retry.
    pub(super) fn finish(&mut self, task: &Task, disposition: Disposition, now: Instant, jitter: f64) {
        let Some(entry) = self.active.remove(&Id::of(task)) else { return };
        match disposition {
            Disposition::Ack => self.complete(&entry),
            Disposition::Retry(_) => self.retry(entry, now, jitter),
            Disposition::Fail(_) => self.fail(&entry),
            Disposition::Release if self.closed => self.enqueue(entry, now, Duration::ZERO),
            Disposition::Release => self.enqueue(entry, now, RELEASE_DELAY),
            Disposition::Discard => self.remove(&entry),
        }
    }

    /// Removes the waiting and delayed tasks of `batch`.
    pub(super) fn withdraw(&mut self, batch: BatchId) {
        let Self { waiting, delayed, known, .. } = self;
        let mut removes = |entry: &Entry| entry.task.batch() == batch && known.remove(&Id::of(&entry.task));
        waiting.retain(|_, entry| !removes(entry));
        delayed.retain(|_, entry| !removes(entry));
    }

    /// Starts no further task. Offered and released tasks are kept.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// Returns whether the rate limit keeps a waiting task from starting.
    pub(super) fn is_rate_limited(&self, now: Instant) -> bool {
        !self.waiting.is_empty() && self.window.closed_until(now).is_some()
    }

    pub(super) fn counts(&self) -> QueueCounts {
        QueueCounts {
            waiting: self.waiting.len() as u64,
            delayed: self.delayed.len() as u64,
            active: self.active.len() as u64,
            completed: self.completed,
            failed: self.failed,
        }
    }

    /// Adds `entry` behind the waiting tasks of its priority, after `delay`.
    fn enqueue(&mut self, mut entry: Entry, now: Instant, delay: Duration) {
        self.arrivals += 1;
        entry.ready_at = add_span(now, delay);
        if delay.is_zero() {
            self.waiting.insert(Position { priority: entry.priority, arrival: self.arrivals }, entry);
        } else {
            self.delayed.insert((add_span(now, delay), self.arrivals), entry);
        }
    }

    /// Moves the due tasks from `delayed` to `waiting`, the earliest first.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let (due, entry) = (first.key().0, first.remove());
            self.enqueue(entry, due, Duration::ZERO);
        }
    }

    fn take(&mut self, now: Instant) -> Next {
        let Some((_, entry)) = self.waiting.pop_first() else { return Next::AfterChange };
        self.window.count_start(now);
        let task = entry.task;
        self.active.insert(Id::of(&task), entry);
        Next::Take(task)
    }

    fn retry(&mut self, entry: Entry, now: Instant, jitter: f64) {
        let attempts_made = entry.attempts_made.saturating_add(1);
        if attempts_made >= self.settings.attempts {
            return self.fail(&entry);
        }
        let delay = self.settings.backoff().jittered(attempts_made, jitter);
        self.enqueue(Entry { attempts_made, ..entry }, now, delay);
    }

    fn complete(&mut self, entry: &Entry) {
        self.completed = self.settings.keep_completed.min(self.completed + 1);
        self.remove(entry);
    }

    fn fail(&mut self, entry: &Entry) {
        self.failed = self.settings.keep_failed.min(self.failed + 1);
        self.remove(entry);
    }

    fn remove(&mut self, entry: &Entry) {
        self.known.remove(&Id::of(&entry.task));
    }
}

#[cfg(test)]
mod tests;
