//! The tests that every queue must pass. A backend implements [`Harness`] and calls
//! `every_queue!(Harness)`.
//!
//! The tests control the handlers: a test receives each attempt as a [`RunningAttempt`] and decides
//! when and how it ends. So a test waits for events and not for a time, and passes with a slow
//! server as well.

use std::{
    collections::VecDeque,
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
    domain::{BatchId, Delivery, JobId, RateLimit, Task},
    queue::{Disposition, Drained, Handler, Offer, ProgressSink, ProgressUpdate, Queue, QueueCondition, QueueCounts},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::support::{
    TestResult,
    wait::{WAIT_TIMEOUT, try_until, until},
};

/// Creates queues of one backend.
pub trait Harness {
    /// Creates an empty queue that no other test uses.
    fn queue(&self, settings: QueueSettings) -> impl Future<Output = Arc<dyn Queue>>;
}

/// Defines every test of the suite for one harness.
macro_rules! every_queue {
    ($harness:expr) => {
        every_queue! { $harness;
            early_jobs_start_first_and_batches_interleave
            equal_priorities_start_in_order_of_arrival
            runs_as_many_tasks_at_a_time_as_configured
            a_task_that_is_offered_twice_runs_once
            an_active_task_that_is_offered_again_does_not_run_again
            a_completed_task_can_be_offered_again
            retries_until_no_attempts_are_left
            earlier_attempts_count
            a_permanent_failure_is_not_retried
            a_released_task_runs_again_and_spends_no_attempt
            a_discarded_task_is_removed_and_can_be_offered_again
            a_delayed_task_waits_while_others_run
            withdraw_removes_only_the_waiting_tasks_of_its_batch
            keeps_only_the_configured_number_of_finished_tasks
            a_drain_waits_for_running_tasks_and_starts_none
            a_drain_returns_at_its_deadline
            a_task_released_during_a_drain_waits
            offers_to_a_drained_queue_are_kept
            a_panic_is_a_failed_attempt_and_keeps_the_worker
            progress_updates_do_not_block_an_attempt
            accepts_ten_thousand_offers_at_once
            a_rate_limit_is_reported_while_it_stops_waiting_tasks
            ping_succeeds_if_the_queue_is_reachable
        }
    };
    ($harness:expr; $($claim:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $claim() -> $crate::support::TestResult {
            $crate::suite::$claim($harness).await
        }
    )* };
}

/// Settings with one task at a time, no rate limit, and short backoffs.
pub fn settings() -> QueueSettings {
    let mut settings = QueueSettings::default();
    settings.concurrency = 1;
    settings.rate_limit = RateLimitSetting(None);
    settings.backoff = Duration::from_millis(10);
    settings
}

/// The same settings after `change`.
pub fn settings_with(change: impl FnOnce(&mut QueueSettings)) -> QueueSettings {
    let mut settings = settings();
    change(&mut settings);
    settings
}

pub fn batch(id: i64) -> BatchId {
    BatchId::new(id).expect("the id is valid")
}

pub fn job(batch_id: i64, seq: u64) -> Task {
    Task::Generate { job: JobId { batch: batch(batch_id), seq, generation: 0 }, first: seq * 100, quantity: 100 }
}

/// An offer of job `seq` of batch `batch`, without a delay, ranked by its number.
pub fn ready(batch: i64, seq: u64) -> Offer {
    Offer { task: job(batch, seq), rank: seq, delay: Duration::ZERO, attempts_made: 0 }
}

/// Offers of the first `count` jobs of one batch.
pub fn jobs_of(batch: i64, count: u64) -> Vec<Offer> {
    (0..count).map(|seq| ready(batch, seq)).collect()
}

pub fn counts(waiting: u64, delayed: u64, active: u64) -> QueueCounts {
    QueueCounts { waiting, delayed, active, ..QueueCounts::default() }
}

/// The handler of a [`TestWorker`].
struct ScriptedHandler {
    attempt: mpsc::UnboundedSender<RunningAttempt>,
    running: Arc<AtomicU64>,
    max: Arc<AtomicU64>,
}

/// An instruction from the test to a running attempt.
enum Step {
    Report(ProgressUpdate),
    Finish(Disposition),
    Panic(&'static str),
}

#[async_trait]
impl Handler for ScriptedHandler {
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition {
        let Delivery::Enqueued { task, .. } = delivery else { panic!("unexpected external delivery: {delivery}") };
        let (steps_sender, mut steps) = mpsc::unbounded_channel();
        self.max.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
        let _ = self.attempt.send(RunningAttempt { task, steps: steps_sender });
        let mut step = steps.recv().await;
        while let Some(Step::Report(update)) = step {
            progress.report(update);
            step = steps.recv().await;
        }
        self.running.fetch_sub(1, SeqCst);
        match step {
            Some(Step::Finish(disposition)) => disposition,
            Some(Step::Panic(message)) => panic!("{message}"),
            // The test has ended.
            Some(Step::Report(_)) | None => Disposition::Discard,
        }
    }
}

/// An attempt that runs until the test ends it.
pub struct RunningAttempt {
    pub task: Task,
    steps: mpsc::UnboundedSender<Step>,
}

impl RunningAttempt {
    pub fn report(&self, percent: u8, line: impl Into<String>) {
        let _ = self.steps.send(Step::Report(ProgressUpdate { percent: Some(percent), line: line.into() }));
    }

    pub fn finish_with(self, disposition: Disposition) {
        let _ = self.steps.send(Step::Finish(disposition));
    }

    fn panic(self, message: &'static str) {
        let _ = self.steps.send(Step::Panic(message));
    }
}

/// A worker of a queue, whose attempts the test controls.
pub struct TestWorker {
    attempt: mpsc::UnboundedReceiver<RunningAttempt>,
    running: Arc<AtomicU64>,
    max: Arc<AtomicU64>,
}

impl TestWorker {
    /// Starts to run the tasks of `queue`.
    pub async fn start(queue: &dyn Queue) -> TestResult<Self> {
        let (sender, attempt) = mpsc::unbounded_channel();
        let (running, max) = (Arc::default(), Arc::default());
        let test_worker = Self { attempt, running: Arc::clone(&running), max: Arc::clone(&max) };
        queue.work(Arc::new(ScriptedHandler { attempt: sender, running, max })).await?;
        Ok(test_worker)
    }

    /// Waits for the next attempt.
    pub async fn next(&mut self) -> TestResult<RunningAttempt> {
        let attempt = timeout(WAIT_TIMEOUT, self.attempt.recv()).await.map_err(|_| "no attempt started")?;
        attempt.ok_or_else(|| "the queue dropped its handler".into())
    }

    /// Finishes the next `count` attempts with [`Disposition::Ack`] and returns their tasks.
    pub async fn complete(&mut self, count: usize) -> TestResult<Vec<Task>> {
        let mut tasks = Vec::new();
        while tasks.len() < count {
            let attempt = self.next().await?;
            tasks.push(attempt.task);
            attempt.finish_with(Disposition::Ack);
        }
        Ok(tasks)
    }

    /// Returns whether no attempt has started that the test has not received.
    pub fn has_no_attempt(&mut self) -> bool {
        self.attempt.try_recv().is_err()
    }

    /// Returns how many attempts are running.
    fn running(&self) -> u64 {
        self.running.load(SeqCst)
    }

    /// Returns the highest number of concurrent attempts.
    fn max(&self) -> u64 {
        self.max.load(SeqCst)
    }
}

/// Waits until the queue counts `expected`. A finished attempt is counted with a short delay.
pub async fn wait_for_counts(queue: &dyn Queue, expected: QueueCounts) -> TestResult {
    let what = format!("the queue counts {expected:?}");
    try_until(what, WAIT_TIMEOUT, || queue.counts(), |counts| *counts == expected).await.map(drop)
}

pub async fn early_jobs_start_first_and_batches_interleave(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    queue.offer(&[ready(1, 3), ready(1, 1), ready(1, 0), ready(1, 2)]).await?;
    queue.offer(&jobs_of(2, 3)).await?;

    let order = TestWorker::start(&*queue).await?.complete(7).await?;

    // Batch 2 was offered when job 0 of batch 1 was at the head, so it starts behind it.
    assert_eq!(order, [job(1, 0), job(1, 1), job(2, 0), job(1, 2), job(2, 1), job(1, 3), job(2, 2)]);
    Ok(())
}

pub async fn equal_priorities_start_in_order_of_arrival(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let equals = [7, 3, 9, 1, 5].map(|batch| ready(batch, 0));
    queue.offer(&equals).await?;

    let order = TestWorker::start(&*queue).await?.complete(5).await?;

    assert_eq!(order, equals.map(|offer| offer.task));
    Ok(())
}

pub async fn runs_as_many_tasks_at_a_time_as_configured(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings_with(|settings| settings.concurrency = 3)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&jobs_of(1, 30)).await?;

    let mut running = VecDeque::from([worker.next().await?, worker.next().await?, worker.next().await?]);
    assert_eq!(queue.counts().await?, counts(27, 0, 3));
    for _ in 0..27 {
        let oldest = running.pop_front().expect("three run");
        oldest.finish_with(Disposition::Ack);
        running.push_back(worker.next().await?);
    }

    assert_eq!(worker.max(), 3);
    Ok(())
}

pub async fn a_task_that_is_offered_twice_runs_once(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;

    assert_eq!(queue.offer(&[ready(1, 0), ready(1, 0), ready(2, 4)]).await?, 2);
    assert_eq!(queue.offer(&[ready(1, 0), ready(3, 9)]).await?, 1);
    assert_eq!(queue.offer(&[]).await?, 0);

    let order = TestWorker::start(&*queue).await?.complete(3).await?;
    assert_eq!(order, [job(1, 0), job(2, 4), job(3, 9)]);
    wait_for_counts(&*queue, QueueCounts { completed: 3, ..counts(0, 0, 0) }).await
}

pub async fn an_active_task_that_is_offered_again_does_not_run_again(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let active = worker.next().await?;

    assert_eq!(queue.offer(&[ready(1, 0), ready(2, 9)]).await?, 1);

    active.finish_with(Disposition::Ack);
    assert_eq!(worker.complete(1).await?, [job(2, 9)]);
    wait_for_counts(&*queue, QueueCounts { completed: 2, ..counts(0, 0, 0) }).await
}

pub async fn a_completed_task_can_be_offered_again(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    worker.complete(1).await?;
    wait_for_counts(&*queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await?;

    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1);

    assert_eq!(worker.complete(1).await?, [job(1, 0)]);
    Ok(())
}

pub async fn retries_until_no_attempts_are_left(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    for _ in 0..settings().attempts {
        let attempt = worker.next().await?;
        assert_eq!(attempt.task, job(1, 0));
        attempt.finish_with(Disposition::Retry("not yet".into()));
    }

    wait_for_counts(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await?;
    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1, "a failed task can be offered again");
    worker.complete(1).await.map(drop)
}

pub async fn earlier_attempts_count(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[Offer { attempts_made: settings().attempts - 1, ..ready(1, 0) }]).await?;

    worker.next().await?.finish_with(Disposition::Retry("not yet".into()));

    wait_for_counts(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_permanent_failure_is_not_retried(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;

    worker.next().await?.finish_with(Disposition::Fail("never".into()));

    assert_eq!(worker.complete(1).await?, [job(2, 9)]);
    wait_for_counts(&*queue, QueueCounts { completed: 1, failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_released_task_runs_again_and_spends_no_attempt(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings_with(|settings| settings.attempts = 2)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    let dispositions = [
        Disposition::Release,
        Disposition::Release,
        Disposition::Retry("not yet".into()),
        Disposition::Release,
        Disposition::Ack,
    ];
    for disposition in dispositions {
        let attempt = worker.next().await?;
        assert_eq!(attempt.task, job(1, 0));
        attempt.finish_with(disposition);
    }

    wait_for_counts(&*queue, QueueCounts { completed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_discarded_task_is_removed_and_can_be_offered_again(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;

    worker.next().await?.finish_with(Disposition::Discard);
    let bystander = worker.next().await?;

    assert_eq!(bystander.task, job(2, 9));
    wait_for_counts(&*queue, counts(0, 0, 1)).await?;
    assert_eq!(queue.offer(&[ready(1, 0)]).await?, 1);
    bystander.finish_with(Disposition::Ack);
    assert_eq!(worker.complete(1).await?, [job(1, 0)]);
    Ok(())
}

pub async fn a_delayed_task_waits_while_others_run(harness: impl Harness) -> TestResult {
    const DELAY: Duration = Duration::from_millis(300);
    let queue = harness.queue(settings()).await;
    let offered = Instant::now();
    queue.offer(&[Offer { delay: DELAY, ..ready(1, 0) }, ready(2, 9)]).await?;
    assert_eq!(queue.counts().await?, counts(1, 1, 0));

    let order = TestWorker::start(&*queue).await?.complete(2).await?;

    assert_eq!(order, [job(2, 9), job(1, 0)]);
    assert!(offered.elapsed() >= DELAY);
    Ok(())
}

pub async fn withdraw_removes_only_the_waiting_tasks_of_its_batch(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let active = worker.next().await?;
    let delay = Duration::from_secs(3_600);
    queue.offer(&[ready(1, 1), ready(1, 2), Offer { delay, ..ready(1, 3) }]).await?;
    queue.offer(&[ready(2, 9), Offer { delay, ..ready(2, 10) }]).await?;
    assert_eq!(queue.counts().await?, counts(3, 2, 1));

    queue.withdraw(batch(1)).await?;

    assert_eq!(queue.counts().await?, counts(1, 1, 1));
    active.finish_with(Disposition::Ack);
    assert_eq!(worker.complete(1).await?, [job(2, 9)]);
    assert_eq!(queue.offer(&[ready(1, 1)]).await?, 1, "a withdrawn task can be offered again");
    assert_eq!(worker.complete(1).await?, [job(1, 1)]);
    Ok(())
}

pub async fn keeps_only_the_configured_number_of_finished_tasks(harness: impl Harness) -> TestResult {
    let kept = settings_with(|settings| (settings.keep_completed, settings.keep_failed) = (2, 1));
    let queue = harness.queue(kept).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&jobs_of(1, 6)).await?;

    for _ in 0..3 {
        worker.next().await?.finish_with(Disposition::Ack);
        worker.next().await?.finish_with(Disposition::Fail("never".into()));
    }

    wait_for_counts(&*queue, QueueCounts { completed: 2, failed: 1, ..counts(0, 0, 0) }).await
}

pub async fn a_drain_waits_for_running_tasks_and_starts_none(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings_with(|settings| settings.concurrency = 2)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&jobs_of(1, 20)).await?;
    let (one, other) = (worker.next().await?, worker.next().await?);

    // `join!` polls the drain first, so the attempts finish after the call.
    let (drained, ()) = tokio::join!(queue.drain(Instant::now() + WAIT_TIMEOUT), async {
        one.finish_with(Disposition::Ack);
        other.finish_with(Disposition::Ack);
    });

    assert_eq!(drained, Drained::Clean);
    assert_eq!(worker.running(), 0);
    assert!(worker.has_no_attempt());
    wait_for_counts(&*queue, QueueCounts { completed: 2, ..counts(18, 0, 0) }).await?;
    assert_eq!(queue.drain(Instant::now() + WAIT_TIMEOUT).await, Drained::Clean, "a second drain returns at once");
    Ok(())
}

pub async fn a_drain_returns_at_its_deadline(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings_with(|settings| settings.concurrency = 3)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&jobs_of(1, 3)).await?;
    let (quick, _slow, _slower) = (worker.next().await?, worker.next().await?, worker.next().await?);

    let deadline = Instant::now() + Duration::from_millis(500);
    let (drained, ()) = tokio::join!(queue.drain(deadline), async { quick.finish_with(Disposition::Ack) });

    assert_eq!(drained, Drained::Left(2));
    assert!(Instant::now() >= deadline);
    Ok(())
}

pub async fn a_task_released_during_a_drain_waits(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&jobs_of(1, 3)).await?;
    let interrupted = worker.next().await?;

    let (drained, ()) = tokio::join!(queue.drain(Instant::now() + WAIT_TIMEOUT), async {
        interrupted.finish_with(Disposition::Release);
    });

    assert_eq!(drained, Drained::Clean);
    assert!(worker.has_no_attempt());
    wait_for_counts(&*queue, counts(3, 0, 0)).await
}

pub async fn offers_to_a_drained_queue_are_kept(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    assert_eq!(queue.drain(Instant::now() + WAIT_TIMEOUT).await, Drained::Clean);

    assert_eq!(queue.offer(&jobs_of(1, 5)).await?, 5);

    assert_eq!(queue.counts().await?, counts(5, 0, 0));
    assert!(worker.has_no_attempt());
    Ok(())
}

pub async fn a_panic_is_a_failed_attempt_and_keeps_the_worker(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings_with(|settings| settings.attempts = 2)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0)]).await?;

    worker.next().await?.panic("on purpose");
    worker.next().await?.panic("on purpose, too");

    wait_for_counts(&*queue, QueueCounts { failed: 1, ..counts(0, 0, 0) }).await?;
    queue.offer(&[ready(2, 0)]).await?;
    assert_eq!(worker.complete(1).await?, [job(2, 0)]);
    Ok(())
}

pub async fn progress_updates_do_not_block_an_attempt(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let mut worker = TestWorker::start(&*queue).await?;
    queue.offer(&[ready(1, 0), ready(2, 9)]).await?;
    let chatty = worker.next().await?;

    let start = Instant::now();
    for line in 0..10_000 {
        chatty.report(50, format!("line {line}"));
    }
    chatty.finish_with(Disposition::Ack);

    assert_eq!(worker.complete(1).await?, [job(2, 9)]);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    wait_for_counts(&*queue, QueueCounts { completed: 2, ..counts(0, 0, 0) }).await
}

pub async fn accepts_ten_thousand_offers_at_once(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    let offers = jobs_of(1, 10_000);

    let start = Instant::now();
    assert_eq!(queue.offer(&offers).await?, 10_000);
    assert_eq!(queue.offer(&offers).await?, 0);
    let took = start.elapsed();

    assert_eq!(queue.counts().await?, counts(10_000, 0, 0));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert_eq!(TestWorker::start(&*queue).await?.complete(2).await?, [job(1, 0), job(1, 1)]);
    Ok(())
}

pub async fn a_rate_limit_is_reported_while_it_stops_waiting_tasks(harness: impl Harness) -> TestResult {
    let limited = |settings: &mut QueueSettings| {
        settings.rate_limit = RateLimitSetting(Some(RateLimit { jobs: 2, per: Duration::from_secs(4) }));
    };
    let queue = harness.queue(settings_with(limited)).await;
    let mut worker = TestWorker::start(&*queue).await?;
    let before = queue.condition().await == QueueCondition::RateLimited;

    queue.offer(&jobs_of(1, 3)).await?;
    worker.complete(2).await?;

    assert!(!before);
    wait_until_limited(&*queue, true).await?;
    worker.complete(1).await?;
    wait_until_limited(&*queue, false).await
}

async fn wait_until_limited(queue: &dyn Queue, expected: bool) -> TestResult {
    let is_limited = async || queue.condition().await == QueueCondition::RateLimited;
    until("the rate limit is reported", WAIT_TIMEOUT, is_limited, |is| *is == expected).await?;
    Ok(())
}

pub async fn ping_succeeds_if_the_queue_is_reachable(harness: impl Harness) -> TestResult {
    let queue = harness.queue(settings()).await;
    queue.ping().await?;
    Ok(())
}
