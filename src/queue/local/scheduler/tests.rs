//! The rules as tables, and as a property of random sequences of steps.

use proptest::prelude::*;

use super::*;
use crate::{
    config::RateLimitSetting,
    domain::{HookId, RateLimit},
    queue::local::rate_window::MAX_SPAN,
};

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

/// Takes every task that the scheduler allows at `now`.
fn taken(scheduler: &mut Scheduler, now: Instant) -> Vec<Task> {
    std::iter::from_fn(|| match scheduler.next(now) {
        Next::Take(task) => Some(task),
        Next::At(_) | Next::AfterChange | Next::Closed => None,
    })
    .collect()
}

#[test]
fn two_ids_are_equal_if_their_texts_are() {
    let batch = BatchId::new(1).unwrap();
    let status = |status| Task::Status(status);
    let tasks = [
        job(1, 0),
        job(1, 1),
        job(2, 0),
        status(StatusTask::Close { batch, round: 0 }),
        status(StatusTask::Close { batch, round: 1 }),
        status(StatusTask::Hook { batch, hook: HookId(0) }),
    ];
    for a in tasks {
        for b in tasks {
            assert_eq!(Id::of(&a) == Id::of(&b), a.to_string() == b.to_string(), "{a} and {b}");
        }
    }
}

#[test]
fn takes_the_lowest_priority_first_and_equal_priorities_in_order_of_arrival() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(unlimited(100));
    scheduler.offer(&[ready(1, 2), ready(1, 0), ready(1, 1)], now);
    scheduler.offer(&[ready(2, 1), ready(2, 0)], now);

    let order = taken(&mut scheduler, now);

    assert_eq!(order, [job(1, 0), job(1, 1), job(2, 0), job(1, 2), job(2, 1)]);
}

#[test]
fn a_rate_window_opens_with_its_first_start_and_allows_the_limit() {
    let t0 = Instant::now();
    let mut scheduler = Scheduler::new(limited(2, 100 * MS));
    scheduler.offer(&(0..6).map(|seq| ready(1, seq)).collect::<Vec<_>>(), t0);

    // (time, tasks taken, time of the next start)
    for (at, starts, next) in [(30, 2, Some(130)), (129, 0, Some(130)), (130, 2, Some(230)), (500, 2, None)] {
        assert_eq!(taken(&mut scheduler, t0 + at * MS).len(), starts, "at {at} ms");
        let expected = next.map_or(Next::AfterChange, |next| Next::At(t0 + next * MS));
        assert_eq!(scheduler.next(t0 + at * MS), expected, "at {at} ms");
    }
}

#[test]
fn a_released_task_counts_as_a_start() {
    let t0 = Instant::now();
    let mut scheduler = Scheduler::new(limited(2, 1_000 * MS));
    scheduler.offer(&[ready(1, 0)], t0);
    for at in [t0, t0 + RELEASE_DELAY] {
        assert_eq!(taken(&mut scheduler, at), [job(1, 0)]);
        scheduler.finish(&job(1, 0), Disposition::Release, at, 0.0);
    }

    assert_eq!(scheduler.next(t0 + 2 * RELEASE_DELAY), Next::At(t0 + 1_000 * MS));
}

#[test]
fn a_disposition_moves_its_task_and_no_other() {
    let now = Instant::now();
    let counts = |waiting, delayed, completed, failed| QueueCounts { waiting, delayed, active: 1, completed, failed };
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
    for (disposition, attempts_made, expected) in table {
        let mut scheduler = Scheduler::new(unlimited(2));
        scheduler.offer(&[Offer { attempts_made, ..ready(1, 0) }, ready(2, 0)], now);
        assert_eq!(taken(&mut scheduler, now), [job(1, 0), job(2, 0)]);

        scheduler.finish(&job(1, 0), disposition.clone(), now, 0.5);

        assert_eq!(scheduler.counts(), expected, "{disposition:?} after {attempts_made}");
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

    // The first backoff is one second, and a jitter of 1 halves it.
    assert_eq!(scheduler.next(t0 + 500 * MS), Next::Take(job(1, 0)));
}

#[test]
fn a_task_released_after_close_waits_without_a_delay() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(unlimited(1));
    scheduler.offer(&[ready(1, 0), ready(2, 0)], now);
    assert_eq!(scheduler.next(now), Next::Take(job(1, 0)));
    scheduler.close();

    scheduler.finish(&job(1, 0), Disposition::Release, now, 0.0);

    assert_eq!(scheduler.counts(), QueueCounts { waiting: 2, ..QueueCounts::default() });
    assert_eq!(scheduler.next(now), Next::Closed);
}

#[test]
fn the_longest_delay_does_not_overflow() {
    let now = Instant::now();
    let mut scheduler = Scheduler::new(limited(1, Duration::MAX));
    scheduler.offer(&[Offer { delay: Duration::MAX, ..ready(1, 0) }], now);

    assert_eq!(scheduler.next(now), Next::At(now + MAX_SPAN));
}

#[derive(Debug, Clone)]
enum Step {
    Offer(Offer),
    Next,
    Finish(usize, Disposition, f64),
    Withdraw(i64),
    AdvanceClock(u32),
}

fn any_offer() -> impl Strategy<Value = Offer> {
    let delay = prop_oneof![2 => Just(0), 1 => 1..200_u32];
    (1..4_i64, 0..6_u64, delay, 0..4_u32).prop_map(|(batch, seq, delay, attempts_made)| Offer {
        delay: delay * MS,
        attempts_made,
        ..ready(batch, seq)
    })
}

fn any_disposition() -> impl Strategy<Value = Disposition> {
    prop_oneof![
        Just(Disposition::Ack),
        Just(Disposition::Retry("no".into())),
        Just(Disposition::Fail("no".into())),
        Just(Disposition::Release),
        Just(Disposition::Discard),
    ]
}

fn any_finish() -> impl Strategy<Value = Step> {
    let arguments = (any::<usize>(), any_disposition(), 0.0..1.0);
    arguments.prop_map(|(nth, disposition, jitter)| Step::Finish(nth, disposition, jitter))
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_offer().prop_map(Step::Offer),
        6 => Just(Step::Next),
        4 => any_finish(),
        1 => (1..4_i64).prop_map(Step::Withdraw),
        3 => (1..400_u32).prop_map(Step::AdvanceClock),
    ]
}

/// A scheduler, and a record of what it did.
struct Observed {
    scheduler: Scheduler,
    now: Instant,
    active: Vec<Task>,
    starts: Vec<Instant>,
}

impl Observed {
    const LIMIT: RateLimit = RateLimit { jobs: 3, per: Duration::from_millis(250) };
    const CONCURRENCY: u32 = 2;

    fn new() -> Self {
        let settings = QueueSettings { concurrency: Self::CONCURRENCY, ..limited(Self::LIMIT.jobs, Self::LIMIT.per) };
        Self { scheduler: Scheduler::new(settings), now: Instant::now(), active: Vec::new(), starts: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Offer(offer) => self.offer(offer),
            Step::Next => self.next(),
            Step::Finish(..) if self.active.is_empty() => {}
            Step::Finish(nth, disposition, jitter) => {
                let task = self.active.swap_remove(nth % self.active.len());
                self.scheduler.finish(&task, disposition, self.now, jitter);
            }
            Step::Withdraw(batch) => self.withdraw(BatchId::new(batch).unwrap()),
            Step::AdvanceClock(ms) => self.now += ms * MS,
        }
        self.check();
    }

    fn offer(&mut self, offer: Offer) {
        let known = self.scheduler.known.contains(&Id::of(&offer.task));
        let added = self.scheduler.offer(&[offer, offer], self.now);
        assert_eq!(added, u64::from(!known), "an absent task is added once, a known one is left unchanged");
    }

    fn next(&mut self) {
        match self.scheduler.next(self.now) {
            Next::Take(task) => {
                self.active.push(task);
                self.starts.push(self.now);
            }
            Next::At(at) => assert!(at > self.now, "a worker would poll without a pause"),
            Next::AfterChange => {
                let counts = self.scheduler.counts();
                let busy = self.active.len() == Self::CONCURRENCY as usize;
                let idle = counts.waiting + counts.delayed == 0;
                assert!(busy || idle, "a waiting task is not taken: {counts:?}");
            }
            Next::Closed => panic!("the scheduler was not closed"),
        }
    }

    fn withdraw(&mut self, batch: BatchId) {
        let others = |scheduler: &Scheduler| {
            let entries = scheduler.waiting.values().chain(scheduler.delayed.values());
            entries.filter(|entry| entry.task.batch() != batch).count()
        };
        let before = others(&self.scheduler);
        self.scheduler.withdraw(batch);
        assert_eq!(others(&self.scheduler), before, "other batches are unchanged");
        assert_eq!(self.scheduler.waiting.len() + self.scheduler.delayed.len(), before, "the batch was removed");
    }

    fn check(&self) {
        let Scheduler { waiting, delayed, active, known, .. } = &self.scheduler;
        let entries = waiting.values().chain(delayed.values()).chain(active.values());
        let ids: HashSet<Id> = entries.map(|entry| Id::of(&entry.task)).collect();
        assert_eq!(&ids, known);
        assert_eq!(waiting.len() + delayed.len() + active.len(), ids.len(), "each id is in one state");
        assert_eq!(self.active.iter().map(Id::of).collect::<HashSet<_>>(), active.keys().copied().collect());
        assert!(active.len() <= Self::CONCURRENCY as usize);
        self.check_windows();
    }

    fn check_windows(&self) {
        let mut starts = self.starts.iter().peekable();
        while let Some(&first) = starts.next() {
            let mut count = 1;
            while starts.next_if(|&&start| start < first + Self::LIMIT.per).is_some() {
                count += 1;
            }
            assert!(count <= Self::LIMIT.jobs, "{count} starts in a window");
        }
    }
}

proptest! {
    #[test]
    fn no_task_is_lost_duplicated_or_started_too_early(steps in prop::collection::vec(any_step(), 1..200)) {
        let mut observed = Observed::new();
        for step in steps {
            observed.step(step);
        }
    }
}
