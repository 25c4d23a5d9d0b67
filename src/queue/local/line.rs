//! The rules of the local queue: who is next, and when. Pure: the time and the chance come in as arguments.
//!
//! ```text
//!            offer                take                 settle
//!   known ──────────▶ waiting ───────────▶ active ───────────────▶ gone
//!            │  (priority, arrival)          │  Done, Fail, Forget,
//!            │           ▲                   │  the last Retry
//!            │           │ when due          │
//!            └───────▶ delayed ◀─────────────┘
//!                   (due, arrival)   Retry, GiveBack
//! ```
//!
//! A task is in exactly one of the three places, by moving from one to the next; `known` has the ids of all three, so that offering
//! twice is one look. What has gone is counted and not remembered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::QueueSettings,
    domain::{BatchId, JobId, RateLimit, StatusTask, Task, fair_priority},
    queue::{Answer, Offer, QueueCounts},
};

/// How long a task that was given back rests. A handler that can't work right now would otherwise be asked again without a pause, and take
/// a core with it; this is short enough that nobody waits for it.
const REST: Duration = Duration::from_millis(50);

/// Further away than any process lives, and still a time that can be reckoned with.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// What the line says to a worker that asks for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Work this one.
    Take(Task),
    /// Ask again at this time, or when something changed.
    At(Instant),
    /// Ask again when something changed.
    Never,
    /// Don't ask again.
    Over,
}

/// All the tasks, and the rules by which they move.
pub(super) struct Line {
    settings: QueueSettings,
    window: Window,
    waiting: BTreeMap<Place, Entry>,
    delayed: BTreeMap<(Instant, u64), Entry>,
    active: HashMap<Id, Entry>,
    known: HashSet<Id>,
    arrivals: u64,
    completed: u64,
    failed: u64,
    paused: bool,
    closed: bool,
}

/// The id of a task, as cheap as can be: equal when the texts of the two tasks are.
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

/// Where a waiting task stands: the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: u64,
    arrival: u64,
}

/// A task and what it keeps wherever it goes.
#[derive(Debug)]
struct Entry {
    task: Task,
    priority: u64,
    attempts_made: u32,
}

impl Line {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            window: Window::new(settings.pace().rate_limit),
            settings,
            waiting: BTreeMap::new(),
            delayed: BTreeMap::new(),
            active: HashMap::new(),
            known: HashSet::new(),
            arrivals: 0,
            completed: 0,
            failed: 0,
            paused: false,
            closed: false,
        }
    }

    /// How many tasks may be active at a time.
    pub(super) const fn concurrency(&self) -> u32 {
        self.settings.concurrency
    }

    /// Adds what is absent; answers with how many were.
    ///
    /// All offers of a call are placed behind the same head, so that they keep the distance of their ranks.
    pub(super) fn offer(&mut self, offers: &[Offer], now: Instant) -> u64 {
        let head = self.waiting.keys().next().map_or(0, |place| place.priority);
        let mut added = 0;
        for &Offer { task, rank, delay, attempts_made } in offers {
            if self.known.insert(Id::of(&task)) {
                let entry = Entry { task, priority: fair_priority(head, rank), attempts_made };
                self.place(entry, now, delay);
                added += 1;
            }
        }
        added
    }

    /// Decides what a worker does that has nothing to do. Whatever it takes is active until [`Line::settle`].
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.closed {
            return Next::Over;
        }
        if self.paused || self.active.len() >= self.concurrency() as usize {
            return Next::Never;
        }
        self.promote(now);
        if self.waiting.is_empty() {
            return self.delayed.keys().next().map_or(Next::Never, |&(due, _)| Next::At(due));
        }
        self.window.closed_until(now).map_or_else(|| self.take(now), Next::At)
    }

    /// Carries out what a handler answered. `chance` is a random number, 0 to 1, for the jitter of a retry.
    pub(super) fn settle(&mut self, task: &Task, answer: Answer, now: Instant, chance: f64) {
        let Some(entry) = self.active.remove(&Id::of(task)) else { return };
        match answer {
            Answer::Done => self.complete(&entry),
            Answer::Retry(_) => self.retry(entry, now, chance),
            Answer::Fail(_) => self.fail(&entry),
            Answer::GiveBack if self.closed => self.place(entry, now, Duration::ZERO),
            Answer::GiveBack => self.place(entry, now, REST),
            Answer::Forget => self.forget(&entry),
        }
    }

    /// Takes out what waits or is delayed of `batch`.
    pub(super) fn withdraw(&mut self, batch: BatchId) {
        let Self { waiting, delayed, known, .. } = self;
        let mut stays = |entry: &Entry| entry.task.batch() != batch || !known.remove(&Id::of(&entry.task));
        waiting.retain(|_, entry| stays(entry));
        delayed.retain(|_, entry| stays(entry));
    }

    pub(super) const fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) const fn resume(&mut self) {
        self.paused = false;
    }

    /// Hands out nothing any more. What is offered or given back is kept.
    pub(super) const fn close(&mut self) {
        self.closed = true;
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

    /// Puts `entry` at the end of its priority, or aside until `delay` is over.
    fn place(&mut self, entry: Entry, now: Instant, delay: Duration) {
        self.arrivals += 1;
        if delay.is_zero() {
            self.waiting.insert(Place { priority: entry.priority, arrival: self.arrivals }, entry);
        } else {
            self.delayed.insert((later(now, delay), self.arrivals), entry);
        }
    }

    /// Lines up what is due, the earliest first.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let entry = first.remove();
            self.place(entry, now, Duration::ZERO);
        }
    }

    fn take(&mut self, now: Instant) -> Next {
        let Some((_, entry)) = self.waiting.pop_first() else { return Next::Never };
        self.window.count_start(now);
        let task = entry.task;
        self.active.insert(Id::of(&task), entry);
        Next::Take(task)
    }

    fn retry(&mut self, entry: Entry, now: Instant, chance: f64) {
        let attempts_made = entry.attempts_made.saturating_add(1);
        if attempts_made >= self.settings.attempts {
            return self.fail(&entry);
        }
        let delay = self.settings.backoff().jittered(attempts_made, chance);
        self.place(Entry { attempts_made, ..entry }, now, delay);
    }

    fn complete(&mut self, entry: &Entry) {
        self.completed = self.settings.keep_completed.min(self.completed + 1);
        self.forget(entry);
    }

    fn fail(&mut self, entry: &Entry) {
        self.failed = self.settings.keep_failed.min(self.failed + 1);
        self.forget(entry);
    }

    fn forget(&mut self, entry: &Entry) {
        self.known.remove(&Id::of(&entry.task));
    }
}

/// The current window of the rate limit. It opens with a start and not with the clock, as BullMQ's does.
struct Window {
    limit: Option<RateLimit>,
    end: Option<Instant>,
    starts: u32,
}

impl Window {
    const fn new(limit: Option<RateLimit>) -> Self {
        Self { limit, end: None, starts: 0 }
    }

    /// When the next start is possible, unless that is now.
    fn closed_until(&self, now: Instant) -> Option<Instant> {
        let limit = self.limit?;
        self.end.filter(|&end| now < end && self.starts >= limit.jobs)
    }

    fn count_start(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        if self.end.is_none_or(|end| now >= end) {
            self.end = Some(later(now, limit.per));
            self.starts = 0;
        }
        self.starts += 1;
    }
}

/// `span` after `now`, whatever a setting or a host says that `span` is.
fn later(now: Instant, span: Duration) -> Instant {
    now + span.min(FOR_EVER)
}
