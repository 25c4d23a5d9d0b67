//! The rules of the local queue: who is next, and when. Pure: the time and the chance come in as
//! arguments.
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
//! A task is in exactly one of the three places, by moving from one to the next; `known` has the
//! ids of all three, so that offering twice is one look. What has gone is counted and not
//! remembered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::QueueSettings,
    domain::{BatchId, JobId, RateLimit, StatusTask, Task, fair_priority},
    queue::{Disposition, Offer, QueueCounts},
};

/// How long a task that was given back rests. A handler that can't work right now would otherwise
/// be asked again without a pause, and take a core with it; this is short enough that nobody waits
/// for it.
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
pub(super) struct Scheduler {
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

impl Scheduler {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            window: Window::new(settings.throughput().rate_limit),
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

    /// How many tasks may be active at a time. This process is all there is.
    pub(super) fn concurrency(&self) -> u32 {
        self.settings.global_concurrency.map_or(self.settings.concurrency, |max| max.min(self.settings.concurrency))
    }

    /// Adds what is absent; answers with how many were.
    ///
    /// All offers of a call are placed behind the same head, so that they keep the distance of
    /// their ranks.
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

    /// Decides what a worker does that has nothing to do. Whatever it takes is active until
    /// [`Scheduler::finish`].
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

    /// Carries out what a handler answered. `chance` is a random number, 0 to 1, for the jitter of
    /// a retry.
    pub(super) fn finish(&mut self, task: &Task, answer: Disposition, now: Instant, chance: f64) {
        let Some(entry) = self.active.remove(&Id::of(task)) else { return };
        match answer {
            Disposition::Ack => self.complete(&entry),
            Disposition::Retry(_) => self.retry(entry, now, chance),
            Disposition::Fail(_) => self.fail(&entry),
            Disposition::Release if self.closed => self.place(entry, now, Duration::ZERO),
            Disposition::Release => self.place(entry, now, REST),
            Disposition::Discard => self.forget(&entry),
        }
    }

    /// Takes out what waits or is delayed of `batch`.
    pub(super) fn withdraw(&mut self, batch: BatchId) {
        let Self { waiting, delayed, known, .. } = self;
        let mut leaves = |entry: &Entry| entry.task.batch() == batch && known.remove(&Id::of(&entry.task));
        waiting.retain(|_, entry| !leaves(entry));
        delayed.retain(|_, entry| !leaves(entry));
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

/// The current window of the rate limit. It opens with a start and not with the clock, as BullMQ's
/// does.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{config::RateLimitSetting, domain::HookId};

    const MS: Duration = Duration::from_millis(1);

    fn unlimited(concurrency: u32) -> QueueSettings {
        QueueSettings { concurrency, rate_limit: RateLimitSetting(None), ..QueueSettings::default() }
    }

    fn limited(jobs: u32, per: Duration) -> QueueSettings {
        QueueSettings { rate_limit: RateLimitSetting(Some(RateLimit { jobs, per })), ..unlimited(100) }
    }

    fn job(batch: i64, seq: u64) -> Task {
        let batch = BatchId::new(batch).unwrap();
        Task::Generate { job: JobId { batch, seq, generation: 0 }, first: seq * 100, quantity: 100 }
    }

    fn ready(batch: i64, seq: u64) -> Offer {
        Offer { task: job(batch, seq), rank: seq, delay: Duration::ZERO, attempts_made: 0 }
    }

    /// What the line hands out at `now`, in order, until it says something else.
    fn taken(scheduler: &mut Scheduler, now: Instant) -> Vec<Task> {
        std::iter::from_fn(|| match scheduler.next(now) {
            Next::Take(task) => Some(task),
            Next::At(_) | Next::Never | Next::Over => None,
        })
        .collect()
    }

    #[test]
    fn tasks_are_the_same_by_their_id() {
        let batch = BatchId::new(1).unwrap();
        let status = |status| Task::Status(status);
        let tasks = [
            job(1, 0),
            job(1, 1),
            job(2, 0),
            status(StatusTask::End { batch, round: 0 }),
            status(StatusTask::End { batch, round: 1 }),
            status(StatusTask::Hook { batch, hook: HookId(0) }),
        ];
        for a in tasks {
            for b in tasks {
                assert_eq!(Id::of(&a) == Id::of(&b), a.to_string() == b.to_string(), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_lowest_priority_goes_first_and_the_earlier_arrival_among_equals() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(unlimited(100));
        scheduler.offer(&[ready(1, 2), ready(1, 0), ready(1, 1)], now);
        scheduler.offer(&[ready(2, 1), ready(2, 0)], now);

        let order = taken(&mut scheduler, now);

        assert_eq!(order, [job(1, 0), job(1, 1), job(2, 0), job(1, 2), job(2, 1)]);
    }

    #[test]
    fn a_window_opens_with_its_first_start_and_holds_so_many() {
        let t0 = Instant::now();
        let mut scheduler = Scheduler::new(limited(2, 100 * MS));
        scheduler.offer(&(0..6).map(|seq| ready(1, seq)).collect::<Vec<_>>(), t0);

        // (time, tasks handed out, then)
        for (at, starts, then) in [(30, 2, Some(130)), (129, 0, Some(130)), (130, 2, Some(230)), (500, 2, None)] {
            assert_eq!(taken(&mut scheduler, t0 + at * MS).len(), starts, "at {at} ms");
            let expected = then.map_or(Next::Never, |then| Next::At(t0 + then * MS));
            assert_eq!(scheduler.next(t0 + at * MS), expected, "at {at} ms");
        }
    }

    #[test]
    fn a_task_that_was_given_back_costs_a_start() {
        let t0 = Instant::now();
        let mut scheduler = Scheduler::new(limited(2, 1_000 * MS));
        scheduler.offer(&[ready(1, 0)], t0);
        for at in [t0, t0 + REST] {
            assert_eq!(taken(&mut scheduler, at), [job(1, 0)]);
            scheduler.finish(&job(1, 0), Disposition::Release, at, 0.0);
        }

        assert_eq!(scheduler.next(t0 + 2 * REST), Next::At(t0 + 1_000 * MS));
    }

    #[test]
    fn an_answer_moves_its_task_and_no_other() {
        let now = Instant::now();
        let counts =
            |waiting, delayed, completed, failed| QueueCounts { waiting, delayed, active: 1, completed, failed };
        let table = [
            (Disposition::Ack, 0, counts(0, 0, 1, 0)),
            (Disposition::Fail("no".into()), 0, counts(0, 0, 0, 1)),
            (Disposition::Discard, 0, counts(0, 0, 0, 0)),
            (Disposition::Release, 2, counts(0, 1, 0, 0)),
            (Disposition::Retry("no".into()), 0, counts(0, 1, 0, 0)),
            (Disposition::Retry("no".into()), 1, counts(0, 1, 0, 0)),
            (Disposition::Retry("no".into()), 2, counts(0, 0, 0, 1)),
            (Disposition::Retry("no".into()), u32::MAX, counts(0, 0, 0, 1)),
        ];
        for (answer, attempts_made, expected) in table {
            let mut scheduler = Scheduler::new(unlimited(2));
            scheduler.offer(&[Offer { attempts_made, ..ready(1, 0) }, ready(2, 0)], now);
            assert_eq!(taken(&mut scheduler, now), [job(1, 0), job(2, 0)]);

            scheduler.finish(&job(1, 0), answer.clone(), now, 0.5);

            assert_eq!(scheduler.counts(), expected, "{answer:?} after {attempts_made}");
        }
    }

    #[test]
    fn a_retry_waits_for_its_backoff_and_keeps_its_priority() {
        let t0 = Instant::now();
        let mut scheduler = Scheduler::new(unlimited(1));
        scheduler.offer(&[ready(1, 0), ready(1, 1), ready(1, 2)], t0);
        assert_eq!(scheduler.next(t0), Next::Take(job(1, 0)));
        scheduler.finish(&job(1, 0), Disposition::Retry("no".into()), t0, 1.0);
        assert_eq!(scheduler.next(t0), Next::Take(job(1, 1)));
        scheduler.finish(&job(1, 1), Disposition::Ack, t0, 0.0);

        // The first backoff is a second, and the chance of 1 halves it.
        assert_eq!(scheduler.next(t0 + 500 * MS), Next::Take(job(1, 0)));
    }

    #[test]
    fn what_is_given_back_to_a_closed_line_waits_at_once() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(unlimited(1));
        scheduler.offer(&[ready(1, 0), ready(2, 0)], now);
        assert_eq!(scheduler.next(now), Next::Take(job(1, 0)));
        scheduler.close();

        scheduler.finish(&job(1, 0), Disposition::Release, now, 0.0);

        assert_eq!(scheduler.counts(), QueueCounts { waiting: 2, ..QueueCounts::default() });
        assert_eq!(scheduler.next(now), Next::Over);
    }

    #[test]
    fn a_delay_without_end_is_no_panic() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(limited(1, Duration::MAX));
        scheduler.offer(&[Offer { delay: Duration::MAX, ..ready(1, 0) }], now);

        assert_eq!(scheduler.next(now), Next::At(now + FOR_EVER));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Offer(Offer),
        Next,
        Settle(usize, Disposition, f64),
        Withdraw(i64),
        Pause,
        Resume,
        Pass(u32),
    }

    fn any_offer() -> impl Strategy<Value = Offer> {
        let delay = prop_oneof![2 => Just(0), 1 => 1..200_u32];
        (1..4_i64, 0..6_u64, delay, 0..4_u32).prop_map(|(batch, seq, delay, attempts_made)| Offer {
            delay: delay * MS,
            attempts_made,
            ..ready(batch, seq)
        })
    }

    fn any_answer() -> impl Strategy<Value = Disposition> {
        prop_oneof![
            Just(Disposition::Ack),
            Just(Disposition::Retry("no".into())),
            Just(Disposition::Fail("no".into())),
            Just(Disposition::Release),
            Just(Disposition::Discard),
        ]
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => any_offer().prop_map(Step::Offer),
            6 => Just(Step::Next),
            4 => (any::<usize>(), any_answer(), 0.0..1.0).prop_map(|(nth, answer, chance)| Step::Settle(nth, answer, chance)),
            1 => (1..4_i64).prop_map(Step::Withdraw),
            1 => Just(Step::Pause),
            2 => Just(Step::Resume),
            3 => (1..400_u32).prop_map(Step::Pass),
        ]
    }

    /// A line, and what was seen of it from outside.
    struct Watched {
        scheduler: Scheduler,
        now: Instant,
        active: Vec<Task>,
        starts: Vec<Instant>,
    }

    impl Watched {
        const LIMIT: RateLimit = RateLimit { jobs: 3, per: Duration::from_millis(250) };
        const CONCURRENCY: u32 = 2;

        fn new() -> Self {
            let settings =
                QueueSettings { concurrency: Self::CONCURRENCY, ..limited(Self::LIMIT.jobs, Self::LIMIT.per) };
            Self { scheduler: Scheduler::new(settings), now: Instant::now(), active: Vec::new(), starts: Vec::new() }
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Offer(offer) => self.offer(offer),
                Step::Next => self.next(),
                Step::Settle(..) if self.active.is_empty() => {}
                Step::Settle(nth, answer, chance) => {
                    let task = self.active.swap_remove(nth % self.active.len());
                    self.scheduler.finish(&task, answer, self.now, chance);
                }
                Step::Withdraw(batch) => self.withdraw(BatchId::new(batch).unwrap()),
                Step::Pause => self.scheduler.pause(),
                Step::Resume => self.scheduler.resume(),
                Step::Pass(ms) => self.now += ms * MS,
            }
            self.check();
        }

        fn offer(&mut self, offer: Offer) {
            let known = self.scheduler.known.contains(&Id::of(&offer.task));
            let added = self.scheduler.offer(&[offer, offer], self.now);
            assert_eq!(added, u64::from(!known), "an absent task is added once, any other one stays as it is");
        }

        fn next(&mut self) {
            match self.scheduler.next(self.now) {
                Next::Take(task) => {
                    self.active.push(task);
                    self.starts.push(self.now);
                }
                Next::At(at) => assert!(at > self.now, "a worker would ask again and again"),
                Next::Never => {
                    let counts = self.scheduler.counts();
                    let busy = self.active.len() == Self::CONCURRENCY as usize;
                    let idle = counts.waiting + counts.delayed == 0;
                    assert!(self.scheduler.paused || busy || idle, "work would be forgotten: {counts:?}");
                }
                Next::Over => panic!("nobody closed the line"),
            }
        }

        fn withdraw(&mut self, batch: BatchId) {
            let others = |scheduler: &Scheduler| {
                let places = scheduler.waiting.values().chain(scheduler.delayed.values());
                places.filter(|entry| entry.task.batch() != batch).count()
            };
            let before = others(&self.scheduler);
            self.scheduler.withdraw(batch);
            assert_eq!(others(&self.scheduler), before, "bystanders stay");
            assert_eq!(self.scheduler.waiting.len() + self.scheduler.delayed.len(), before, "the batch is gone");
        }

        fn check(&self) {
            let Scheduler { waiting, delayed, active, known, .. } = &self.scheduler;
            let entries = waiting.values().chain(delayed.values()).chain(active.values());
            let ids: HashSet<Id> = entries.map(|entry| Id::of(&entry.task)).collect();
            assert_eq!(&ids, known);
            assert_eq!(waiting.len() + delayed.len() + active.len(), ids.len(), "each id is in one place");
            assert_eq!(self.active.iter().map(Id::of).collect::<HashSet<_>>(), active.keys().copied().collect());
            assert!(active.len() <= Self::CONCURRENCY as usize);
            self.check_windows();
        }

        fn check_windows(&self) {
            let mut starts = self.starts.iter().peekable();
            while let Some(&first) = starts.next() {
                let mut held = 1;
                while starts.next_if(|&&start| start < first + Self::LIMIT.per).is_some() {
                    held += 1;
                }
                assert!(held <= Self::LIMIT.jobs, "{held} starts in a window");
            }
        }
    }

    proptest! {
        #[test]
        fn no_task_is_lost_doubled_or_too_early_whatever_happens(steps in prop::collection::vec(any_step(), 1..200)) {
            let mut watched = Watched::new();
            for step in steps {
                watched.step(step);
            }
        }
    }
}
