//! What every queue must do. A backend brings a [`Harness`] and says `every_queue!(Harness)`.
//!
//! The tests play the handlers: each attempt is told to the test, as a [`RunningTask`], and ends
//! when and how the test says. So a test waits for what happens and never for a time, and a real
//! server may take as long as it needs.

use std::{
    collections::VecDeque,
    error::Error,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rocket::async_trait;
use rocket_batch::{
    config::{QueueSettings, RateLimitSetting},
    domain::{BatchId, Delivery, JobId, Task},
    queue::{Disposition, Drained, Handler, Offer, ProgressSink, ProgressUpdate, Queue, QueueCounts},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

pub type TestResult = Result<(), Box<dyn Error>>;

/// Longer than anything that is waited for takes; only a test that fails gets there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes queues of one backend.
pub trait Harness {
    /// An empty queue of its own.
    fn queue(&self, settings: QueueSettings) -> impl Future<Output = Arc<dyn Queue>>;
}

/// Every claim, run against the queues of one harness.
macro_rules! every_queue {
    ($harness:expr) => {
        every_queue! { $harness;
            early_jobs_go_first_and_batches_interleave
            equals_go_in_the_order_of_their_arrival
            as_many_run_at_a_time_as_the_settings_say
            a_task_that_is_offered_twice_runs_once
            an_active_task_that_is_offered_again_does_not_run_again
            a_task_that_is_done_may_be_offered_again
            a_retry_runs_until_the_attempts_are_spent
            attempts_that_were_made_before_count
            a_failure_for_good_is_not_retried
            a_task_that_is_given_back_runs_again_and_spends_nothing
            a_task_that_is_forgotten_leaves_and_may_be_offered_again
            a_delayed_task_waits_and_lets_others_pass
            a_withdrawal_takes_what_waits_and_nothing_else
            no_more_is_remembered_than_the_settings_say
            a_drain_waits_for_what_runs_and_begins_nothing
            a_drain_leaves_at_its_deadline
            a_task_that_is_given_back_while_draining_waits
            offers_to_a_drained_queue_are_kept
            a_panic_is_a_failed_attempt_and_costs_no_worker
            notes_hold_up_nothing
            ten_thousand_offers_at_once_are_no_trouble
            a_queue_that_is_reached_answers_a_ping
        }
    };
    ($harness:expr; $($claim:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() -> $crate::suite::TestResult {
            $crate::suite::$claim($harness).await
        }
    )* };
}

/// One at a time, as fast as can be, with backoffs that a test can wait for.
pub fn settings() -> QueueSettings {
    let mut settings = QueueSettings::default();
    settings.concurrency = 1;
    settings.rate_limit = RateLimitSetting(None);
    settings.backoff = Duration::from_millis(10);
    settings
}

/// The same but for what `change` does.
pub fn settings_with(change: impl FnOnce(&mut QueueSettings)) -> QueueSettings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

pub fn batch(id: i64) -> BatchId {
    BatchId::new(id).expect("tests use ids that are in range")
}

pub fn job(batch_id: i64, seq: u64) -> Task {
    Task::Generate { job: JobId { batch: batch(batch_id), seq, generation: 0 }, first: seq * 100, quantity: 100 }
}

/// Job `seq` of batch `batch`, ranked by its number, to be worked at once.
pub fn ready(batch: i64, seq: u64) -> Offer {
    Offer { task: job(batch, seq), rank: seq, delay: Duration::ZERO, attempts_made: 0 }
}

/// So many jobs of one batch.
pub fn jobs_of(batch: i64, count: u64) -> Vec<Offer> {
    (0..count).map(|seq| ready(batch, seq)).collect()
}

pub fn counts(waiting: u64, delayed: u64, active: u64) -> QueueCounts {
    QueueCounts { waiting, delayed, active, ..QueueCounts::default() }
}

/// The handlers' side of a [`Stage`].
struct Played {
    begun: mpsc::UnboundedSender<RunningTask>,
    running: Arc<AtomicU64>,
    max: Arc<AtomicU64>,
}

/// What a played attempt is to do.
enum Scheduler {
    ProgressUpdate(ProgressUpdate),
    Disposition(Disposition),
    Panic(&'static str),
}

#[async_trait]
impl Handler for Played {
    async fn handle(&self, delivery: Delivery<Task>, notes: &dyn ProgressSink) -> Disposition {
        let Delivery::Enqueued { task, .. } = delivery else { panic!("nobody ordered {delivery}") };
        let (prompter, mut lines) = mpsc::unbounded_channel();
        self.max.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
        let _ = self.begun.send(RunningTask { task, prompter });
        let mut line = lines.recv().await;
        while let Some(Scheduler::ProgressUpdate(note)) = line {
            notes.report(note);
            line = lines.recv().await;
        }
        self.running.fetch_sub(1, SeqCst);
        match line {
            Some(Scheduler::Disposition(answer)) => answer,
            Some(Scheduler::Panic(message)) => panic!("{message}"),
            // The test is over.
            Some(Scheduler::ProgressUpdate(_)) | None => Disposition::Discard,
        }
    }
}

/// An attempt that runs until the test ends it.
pub struct RunningTask {
    pub task: Task,
    prompter: mpsc::UnboundedSender<Scheduler>,
}

impl RunningTask {
    pub fn report(&self, percent: u8, line: impl Into<String>) {
        let _ =
            self.prompter.send(Scheduler::ProgressUpdate(ProgressUpdate { percent: Some(percent), line: line.into() }));
    }

    pub fn answer(self, answer: Disposition) {
        let _ = self.prompter.send(Scheduler::Disposition(answer));
    }

    fn panic(self, message: &'static str) {
        let _ = self.prompter.send(Scheduler::Panic(message));
    }
}

/// Where a test sees what its queue begins.
pub struct Stage {
    begun: mpsc::UnboundedReceiver<RunningTask>,
    running: Arc<AtomicU64>,
    max: Arc<AtomicU64>,
}

impl Stage {
    /// Starts to work `queue`.
    pub async fn of(queue: &dyn Queue) -> Result<Self, Box<dyn Error>> {
        let (sender, begun) = mpsc::unbounded_channel();
        let (running, max) = (Arc::default(), Arc::default());
        let stage = Self { begun, running: Arc::clone(&running), max: Arc::clone(&max) };
        queue.work(Arc::new(Played { begun: sender, running, max })).await?;
        Ok(stage)
    }

    /// The attempt that begins next.
    pub async fn next(&mut self) -> Result<RunningTask, Box<dyn Error>> {
        let begun = timeout(PATIENCE, self.begun.recv()).await.map_err(|_| "nothing began")?;
        begun.ok_or_else(|| "the queue let its handler go".into())
    }

    /// Answers the next `count` attempts with [`Disposition::Ack`]; says which they were.
    pub async fn finish(&mut self, count: usize) -> Result<Vec<Task>, Box<dyn Error>> {
        let mut tasks = Vec::new();
        while tasks.len() < count {
            let begun = self.next().await?;
            tasks.push(begun.task);
            begun.answer(Disposition::Ack);
        }
        Ok(tasks)
    }

    /// Whether no attempt began but those that the test has taken.
    pub fn is_quiet(&mut self) -> bool {
        self.begun.try_recv().is_err()
    }

    /// How many attempts run.
    fn running(&self) -> u64 {
        self.running.load(SeqCst)
    }

    /// How many attempts ever ran at once.
    fn max(&self) -> u64 {
        self.max.load(SeqCst)
    }
}

/// Waits for the queue to count `expected`, since an answer is counted a moment after it was given.
pub async fn until(queue: &dyn Queue, expected: QueueCounts) -> TestResult {
    let end = Instant::now() + PATIENCE;
    loop {
        let counts = queue.counts().await?;
        if counts == expected {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("the queue counts {counts:?} and not {expected:?}").into());
        }
        sleep(Duration::from_millis(1)).await;
    }
}

pub async fn early_jobs_go_first_and_batches_interleave(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    queue.offer(&[ready(1, 3), ready(1, 1), ready(1, 0), ready(1, 2)]).await?;
    queue.offer(&jobs_of(2, 3)).await?;

    let order = Stage::of(&*queue).await?.finish(7).await?;

    // Batch 2 came when job 0 of batch 1 was at the head, and stands in line behind it.
    assert_eq!(order, [job(1, 0), job(1, 1), job(2, 0), job(1, 2), job(2, 1), job(1, 3), job(2, 2)]);
    Ok(())
}

pub async fn equals_go_in_the_order_of_their_arrival(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let equals = [7, 3, 9, 1, 5].map(|batch| ready(batch, 0));
    queue.offer(&equals).await?;

    let order = Stage::of(&*queue).await?.finish(5).await?;

    assert_eq!(order, equals.map(|offer| offer.task));
    Ok(())
}

pub async fn as_many_run_at_a_time_as_the_settings_say(given: impl Harness) -> TestResult {
    let queue = given.queue(settings_with(|settings| settings.concurrency = 3)).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&jobs_of(1, 30)).await?;

    let mut running = VecDeque::from([stage.next().await?, stage.next().await?, stage.next().await?]);
    assert_eq!(queue.counts().await?, counts(27, 0, 3));
    for _ in 0..27 {
        let oldest = running.pop_front().expect("three run");
        oldest.answer(Disposition::Ack);
        running.push_back(stage.next().await?);
    }

    assert_eq!(stage.max(), 3);
    Ok(())
}

pub async fn a_task_that_is_offered_twice_runs_once(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;

    assert_eq!(queue.offer(&[ready(1, 0), ready(1, 0), ready(2, 4)]).await?, 2);
    assert_eq!(queue.offer(&[ready(1, 0), ready(3, 9)]).await?, 1);
    assert_eq!(queue.offer(&[]).await?, 0);

    let order = Stage::of(&*queue).await?.finish(3).await?;
    assert_eq!(order, [job(1, 0), job(2, 4), job(3, 9)]);
    until(&*queue, QueueCounts { completed: 3, ..counts(0, 0, 0) }).await
}

pub async fn an_active_task_that_is_offered_again_does_not_run_again(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let active = stage.next().await?;

    assert_eq!(queue.offer(&[ready(1, 0), ready(2, 9)]).await?, 1);

    active.answer(Disposition::Ack);
    assert_eq!(stage.finish(1).await?, [job(2, 9)]);
    until(&*queue, QueueCounts { completed: 2, ..counts(0, 0, 0) }).await
}

pub async fn a_task_that_is_done_may_be_offered_again(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    stage.finish(1).await?;
    until(&*queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await?;

    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1);

    assert_eq!(stage.finish(1).await?, [job(1, 0)]);
    Ok(())
}

pub async fn a_retry_runs_until_the_attempts_are_spent(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    for _ in 0..settings().attempts {
        let begun = stage.next().await?;
        assert_eq!(begun.task, job(1, 0));
        begun.answer(Disposition::Retry("not yet".into()));
    }

    until(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await?;
    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1, "a failed task may be offered again");
    stage.finish(1).await.map(drop)
}

pub async fn attempts_that_were_made_before_count(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[Offer { attempts_made: settings().attempts - 1, ..ready(1, 0) }]).await?;

    stage.next().await?.answer(Disposition::Retry("not yet".into()));

    until(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_failure_for_good_is_not_retried(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;

    stage.next().await?.answer(Disposition::Fail("never".into()));

    assert_eq!(stage.finish(1).await?, [job(2, 9)]);
    until(&*queue, QueueCounts { completed: 1, failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_task_that_is_given_back_runs_again_and_spends_nothing(given: impl Harness) -> TestResult {
    let queue = given.queue(settings_with(|settings| settings.attempts = 2)).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    let answers = [
        Disposition::Release,
        Disposition::Release,
        Disposition::Retry("not yet".into()),
        Disposition::Release,
        Disposition::Ack,
    ];
    for answer in answers {
        let begun = stage.next().await?;
        assert_eq!(begun.task, job(1, 0));
        begun.answer(answer);
    }

    until(&*queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_task_that_is_forgotten_leaves_and_may_be_offered_again(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;

    stage.next().await?.answer(Disposition::Discard);
    let bystander = stage.next().await?;

    assert_eq!(bystander.task, job(2, 9));
    until(&*queue, counts(0, 0, 1)).await?;
    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1);
    bystander.answer(Disposition::Ack);
    assert_eq!(stage.finish(1).await?, [job(1, 0)]);
    Ok(())
}

pub async fn a_delayed_task_waits_and_lets_others_pass(given: impl Harness) -> TestResult {
    const DELAY: Duration = Duration::from_millis(300);
    let queue = given.queue(settings()).await;
    let offered = Instant::now();
    queue.offer(&[Offer { delay: DELAY, ..ready(1, 0) }, ready(2, 9)]).await?;
    assert_eq!(queue.counts().await?, counts(1, 1, 0));

    let order = Stage::of(&*queue).await?.finish(2).await?;

    assert_eq!(order, [job(2, 9), job(1, 0)]);
    assert!(offered.elapsed() >= DELAY);
    Ok(())
}

pub async fn a_withdrawal_takes_what_waits_and_nothing_else(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let active = stage.next().await?;
    let delay = Duration::from_secs(3_600);
    queue.offer(&[ready(1, 1), ready(1, 2), Offer { delay, ..ready(1, 3) }]).await?;
    queue.offer(&[ready(2, 9), Offer { delay, ..ready(2, 10) }]).await?;
    assert_eq!(queue.counts().await?, counts(3, 2, 1));

    queue.withdraw(batch(1)).await?;

    assert_eq!(queue.counts().await?, counts(1, 1, 1));
    active.answer(Disposition::Ack);
    assert_eq!(stage.finish(1).await?, [job(2, 9)]);
    assert_eq!(queue.offer(&[ready(1, 1)]).await?, 1, "what was withdrawn may be offered again");
    assert_eq!(stage.finish(1).await?, [job(1, 1)]);
    Ok(())
}

pub async fn no_more_is_remembered_than_the_settings_say(given: impl Harness) -> TestResult {
    let kept = settings_with(|settings| (settings.keep_completed, settings.keep_failed) = (2, 1));
    let queue = given.queue(kept).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&jobs_of(1, 6)).await?;

    for _ in 0..3 {
        stage.next().await?.answer(Disposition::Ack);
        stage.next().await?.answer(Disposition::Fail("never".into()));
    }

    until(&*queue, QueueCounts { completed: 2, failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_drain_waits_for_what_runs_and_begins_nothing(given: impl Harness) -> TestResult {
    let queue = given.queue(settings_with(|settings| settings.concurrency = 2)).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    let (one, other) = (stage.next().await?, stage.next().await?);

    // `join!` polls the drain first, so the answers come after the call.
    let (drained, ()) = tokio::join!(queue.drain(Instant::now() + PATIENCE), async {
        one.answer(Disposition::Ack);
        other.answer(Disposition::Ack);
    });

    assert_eq!(drained, Drained::Clean);
    assert_eq!(stage.running(), 0);
    assert!(stage.is_quiet());
    until(&*queue, QueueCounts { completed: 2, ..counts(18, 0, 0) }).await?;
    assert_eq!(queue.drain(Instant::now() + PATIENCE).await, Drained::Clean, "draining twice is no harm");
    Ok(())
}

pub async fn a_drain_leaves_at_its_deadline(given: impl Harness) -> TestResult {
    let queue = given.queue(settings_with(|settings| settings.concurrency = 3)).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&jobs_of(1, 3)).await?;
    let (quick, _slow, _slower) = (stage.next().await?, stage.next().await?, stage.next().await?);

    let deadline = Instant::now() + Duration::from_millis(500);
    let (drained, ()) = tokio::join!(queue.drain(deadline), async { quick.answer(Disposition::Ack) });

    assert_eq!(drained, Drained::Left(2));
    assert!(Instant::now() >= deadline);
    Ok(())
}

pub async fn a_task_that_is_given_back_while_draining_waits(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&jobs_of(1, 3)).await?;
    let interrupted = stage.next().await?;

    let (drained, ()) =
        tokio::join!(queue.drain(Instant::now() + PATIENCE), async { interrupted.answer(Disposition::Release) });

    assert_eq!(drained, Drained::Clean);
    assert!(stage.is_quiet());
    until(&*queue, counts(3, 0, 0)).await
}

pub async fn offers_to_a_drained_queue_are_kept(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    assert_eq!(queue.drain(Instant::now() + PATIENCE).await, Drained::Clean);

    assert_eq!(queue.offer(&jobs_of(1, 5)).await?, 5);

    assert_eq!(queue.counts().await?, counts(5, 0, 0));
    assert!(stage.is_quiet());
    Ok(())
}

pub async fn a_panic_is_a_failed_attempt_and_costs_no_worker(given: impl Harness) -> TestResult {
    let queue = given.queue(settings_with(|settings| settings.attempts = 2)).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    stage.next().await?.panic("on purpose");
    stage.next().await?.panic("on purpose, too");

    until(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await?;
    queue.offer(&[ready(2, 0)]).await?;
    assert_eq!(stage.finish(1).await?, [job(2, 0)]);
    Ok(())
}

pub async fn notes_hold_up_nothing(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let mut stage = Stage::of(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;
    let talkative = stage.next().await?;

    let start = Instant::now();
    for note in 0..10_000 {
        talkative.report(50, format!("line {note}"));
    }
    talkative.answer(Disposition::Ack);

    assert_eq!(stage.finish(1).await?, [job(2, 9)]);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    until(&*queue, QueueCounts { completed: 2, ..counts(0, 0, 0) }).await
}

pub async fn ten_thousand_offers_at_once_are_no_trouble(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    let offers = jobs_of(1, 10_000);

    let start = Instant::now();
    assert_eq!(queue.offer(&offers).await?, 10_000);
    assert_eq!(queue.offer(&offers).await?, 0);
    let took = start.elapsed();

    assert_eq!(queue.counts().await?, counts(10_000, 0, 0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert_eq!(Stage::of(&*queue).await?.finish(2).await?, [job(1, 0), job(1, 1)]);
    Ok(())
}

pub async fn a_queue_that_is_reached_answers_a_ping(given: impl Harness) -> TestResult {
    let queue = given.queue(settings()).await;
    queue.ping().await?;
    Ok(())
}
