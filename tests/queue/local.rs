//! The queue in the process: its harness, and the tests of it alone. They pause Tokio's clock,
//! which then jumps from timer to timer, so a test that covers minutes takes milliseconds.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::{async_trait, futures::FutureExt as _};
use rocket_batch::{
    config::{QueueSettings, RateLimitSetting},
    domain::{Delivery, RateLimit, Task},
    queue::{Disposition, Drained, Handler, Offer, ProgressSink, Queue, QueueCounts, local::LocalQueue},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{
    suite::{Harness, TestWorker, counts, job, jobs_of, ready, settings, settings_with, wait_for_counts},
    support::TestResult,
};

struct LocalHarness;

impl Harness for LocalHarness {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(LocalQueue::new("test", &settings))
    }
}

every_queue!(LocalHarness);

const SECOND: Duration = Duration::from_secs(1);

/// Records when each attempt starts, and finishes it as the test requires.
struct RecordingHandler<F> {
    disposition_of: F,
    from: Instant,
    starts: Mutex<Vec<(Task, Duration)>>,
    /// A permit for every start.
    started: Semaphore,
}

impl<F: Fn(Task) -> Disposition + Send + Sync + 'static> RecordingHandler<F> {
    async fn work(queue: &LocalQueue, disposition_of: F) -> Result<Arc<Self>, rocket_batch::queue::QueueError> {
        let (starts, started) = (Mutex::default(), Semaphore::new(0));
        let recorder = Arc::new(Self { disposition_of, from: Instant::now(), starts, started });
        queue.work(recorder.clone()).await?;
        Ok(recorder)
    }

    /// Waits for the first `count` starts and returns them.
    async fn starts(&self, count: u32) -> Vec<(Task, Duration)> {
        self.started.acquire_many(count).await.expect("the semaphore is never closed").forget();
        self.starts.lock().expect("no code panics while holding this lock").clone()
    }
}

#[async_trait]
impl<F: Fn(Task) -> Disposition + Send + Sync> Handler for RecordingHandler<F> {
    async fn handle(&self, delivery: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        let Delivery::Enqueued { task, .. } = delivery else { panic!("unexpected external delivery: {delivery}") };
        self.starts.lock().expect("no code panics while holding this lock").push((task, self.from.elapsed()));
        self.started.add_permits(1);
        (self.disposition_of)(task)
    }
}

fn five_per_ten_seconds() -> RateLimitSetting {
    RateLimitSetting(Some(RateLimit { jobs: 5, per: 10 * SECOND }))
}

#[tokio::test(start_paused = true)]
async fn fifty_jobs_at_five_per_ten_seconds_take_ninety_seconds() -> TestResult {
    let paced = settings_with(|settings| {
        settings.concurrency = 2;
        settings.rate_limit = five_per_ten_seconds();
    });
    let queue = LocalQueue::new("test", &paced);
    queue.offer(&jobs_of(1, 50)).await?;

    let starts = RecordingHandler::work(&queue, |_| Disposition::Ack).await?.starts(50).await;

    for (nth, (task, at)) in (0..).zip(starts) {
        assert_eq!(task, job(1, nth));
        let second = u32::try_from(nth / 5 * 10)?;
        assert!(at >= second * SECOND && at < (second + 1) * SECOND, "job {nth} started after {at:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_rate_window_opens_with_the_first_start() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.rate_limit = five_per_ten_seconds()));
    let recorder = RecordingHandler::work(&queue, |_| Disposition::Ack).await?;
    sleep(7 * SECOND).await;

    queue.offer(&jobs_of(1, 6)).await?;

    let seconds: Vec<u64> = recorder.starts(6).await.iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(seconds, [7, 7, 7, 7, 7, 17]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_backoff_doubles_and_jitter_shortens_it_by_at_most_half() -> TestResult {
    let slow_retries = settings_with(|settings| {
        settings.concurrency = 1_000;
        settings.attempts = 4;
        settings.backoff = SECOND;
        settings.max_backoff = 3 * SECOND;
    });
    let queue = LocalQueue::new("test", &slow_retries);
    queue.offer(&jobs_of(1, 100)).await?;

    let starts = RecordingHandler::work(&queue, |_| Disposition::Retry("not yet".into())).await?.starts(400).await;

    for seq in 0..100 {
        let own: Vec<Duration> = starts.iter().filter(|(task, _)| *task == job(1, seq)).map(|(_, at)| *at).collect();
        assert_eq!(own.len(), 4);
        for (wait, seconds) in own.windows(2).map(|pair| pair[1].checked_sub(pair[0]).unwrap()).zip([1, 2, 3]) {
            let max = seconds * SECOND;
            // Timers may be a few milliseconds late.
            assert!(wait >= max / 2 && wait <= max + SECOND / 20, "job {seq} waited {wait:?} of {max:?}");
        }
    }
    let second_tries: Vec<Duration> = starts[100..200].iter().map(|(_, at)| *at).collect();
    assert!(second_tries[99].checked_sub(second_tries[0]).unwrap() > SECOND / 10, "all retries started together");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delayed_tasks_start_in_the_order_of_their_due_times() -> TestResult {
    let queue = LocalQueue::new("test", &settings());
    let recorder = RecordingHandler::work(&queue, |_| Disposition::Ack).await?;
    let due = [50, 10, 40, 20, 30_u32];
    let delayed = |(seq, &seconds): (u64, &u32)| Offer { delay: seconds * SECOND, ..ready(1, seq) };
    queue.offer(&(0..).zip(&due).map(delayed).collect::<Vec<_>>()).await?;
    // Due before all others, and offered when the worker is already waiting for one of them.
    sleep(SECOND).await;
    queue.offer(&[Offer { delay: SECOND, ..ready(2, 9) }]).await?;

    let starts = recorder.starts(6).await;

    let order: Vec<(Task, u64)> = starts.iter().map(|(task, at)| (*task, at.as_secs())).collect();
    let expected = [(2, 9, 2), (1, 1, 10), (1, 3, 20), (1, 4, 30), (1, 2, 40), (1, 0, 50)];
    assert_eq!(order, expected.map(|(batch, seq, second)| (job(batch, seq), second)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_released_repeatedly_is_delayed_each_time() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 2));
    queue.offer(&[ready(1, 0)]).await?;

    let starts = RecordingHandler::work(&queue, |_| Disposition::Release).await?.starts(20).await;

    for pair in starts.windows(2) {
        let delay = pair[1].1.checked_sub(pair[0].1).unwrap();
        assert!(delay >= SECOND / 20 && delay < SECOND / 10, "delayed by {delay:?}");
    }
    Ok(())
}

/// Polls the drain once before any worker is polled. The tasks are ready, and there is time to run
/// all of them.
#[tokio::test(start_paused = true)]
async fn no_task_starts_after_the_call_of_drain() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 10));
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 10)).await?;

    let mut drain = std::pin::pin!(queue.drain(Instant::now() + 10 * SECOND));
    assert!(drain.as_mut().now_or_never().is_none(), "the workers have not been notified yet");
    let drained = drain.await;

    assert_eq!(drained, Drained::Clean);
    sleep(3_600 * SECOND).await;
    assert!(worker.has_no_attempt());
    assert_eq!(queue.counts().await?, counts(10, 0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_past_the_deadline_can_still_finish() -> TestResult {
    let queue = LocalQueue::new("test", &settings());
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let slow = worker.next().await?;
    let called = Instant::now();

    assert_eq!(queue.drain(called + 25 * SECOND).await, Drained::Left(1));

    assert_eq!(called.elapsed().as_secs(), 25);
    slow.finish_with(Disposition::Ack);
    wait_for_counts(&queue, QueueCounts { completed: 1, ..counts(1, 0, 0) }).await?;
    sleep(3_600 * SECOND).await;
    assert!(worker.has_no_attempt());
    assert_eq!(queue.drain(Instant::now()).await, Drained::Clean);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_drains_at_once() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let _stage = TestWorker::start(&queue).await?;
    sleep(SECOND).await;
    let called = Instant::now();

    assert_eq!(queue.drain(called + 25 * SECOND).await, Drained::Clean);

    assert_eq!(called.elapsed(), Duration::ZERO);
    Ok(())
}

/// An offer wakes only one worker, even with several tasks.
#[tokio::test(start_paused = true)]
async fn idle_workers_wake_each_other() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let mut worker = TestWorker::start(&queue).await?;
    sleep(SECOND).await;

    queue.offer(&jobs_of(1, 4)).await?;
    queue.offer(&[Offer { delay: SECOND, ..ready(1, 4) }]).await?;

    let mut running = Vec::new();
    for seq in 0..5 {
        running.push(worker.next().await?);
        assert_eq!(running[running.len() - 1].task, job(1, seq));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_second_handler_receives_no_task() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 2));
    let mut first = TestWorker::start(&queue).await?;
    let mut second = TestWorker::start(&queue).await?;

    // One by one, so that every worker gets a task.
    for seq in 0..6 {
        queue.offer(&[ready(1, seq)]).await?;
        assert_eq!(first.complete(1).await?, [job(1, seq)]);
        sleep(SECOND).await;
    }

    assert!(second.has_no_attempt());
    Ok(())
}

/// Workers that wait forever would keep the handler and its resources alive.
#[tokio::test(start_paused = true)]
async fn dropping_a_queue_drops_its_handler() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let recorder = RecordingHandler::work(&queue, |_| Disposition::Ack).await?;
    queue.offer(&jobs_of(1, 1)).await?;
    recorder.starts(1).await;

    drop(queue);

    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&recorder), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn debug_output_shows_the_name_and_the_counts() -> TestResult {
    let queue = LocalQueue::new("generate-product-batch-items", &settings());
    queue.offer(&jobs_of(1, 2)).await?;

    let text = format!("{queue:?}");

    assert_eq!(queue.name(), "generate-product-batch-items");
    assert!(text.contains("generate-product-batch-items") && text.contains("waiting: 2"), "{text}");
    Ok(())
}
