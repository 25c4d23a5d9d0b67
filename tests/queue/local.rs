//! The queue in the process: its harness, and what is true of it alone. The clock is tokio's and
//! paused, so it jumps from timer to timer and a test that spans minutes takes none.

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

use crate::suite::{Harness, Stage, TestResult, counts, job, jobs_of, ready, settings, settings_with, until};

struct Local;

impl Harness for Local {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(LocalQueue::new("test", &settings))
    }
}

every_queue!(Local);

const SECOND: Duration = Duration::from_secs(1);

/// Notes when each attempt begins, and answers as the test says.
struct Noted<F> {
    answer: F,
    from: Instant,
    starts: Mutex<Vec<(Task, Duration)>>,
    /// A permit for every start.
    started: Semaphore,
}

impl<F: Fn(Task) -> Disposition + Send + Sync + 'static> Noted<F> {
    async fn work(queue: &LocalQueue, answer: F) -> Result<Arc<Self>, rocket_batch::queue::QueueError> {
        let (starts, started) = (Mutex::default(), Semaphore::new(0));
        let noted = Arc::new(Self { answer, from: Instant::now(), starts, started });
        queue.work(noted.clone()).await?;
        Ok(noted)
    }

    /// The first `count` starts, as soon as there are so many.
    async fn starts(&self, count: u32) -> Vec<(Task, Duration)> {
        self.started.acquire_many(count).await.expect("it is never closed").forget();
        self.starts.lock().expect("nobody panics here").clone()
    }
}

#[async_trait]
impl<F: Fn(Task) -> Disposition + Send + Sync> Handler for Noted<F> {
    async fn handle(&self, delivery: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        let Delivery::Enqueued { task, .. } = delivery else { panic!("nobody ordered {delivery}") };
        self.starts.lock().expect("nobody panics here").push((task, self.from.elapsed()));
        self.started.add_permits(1);
        (self.answer)(task)
    }
}

fn five_per_ten_seconds() -> RateLimitSetting {
    RateLimitSetting(Some(RateLimit { jobs: 5, per: 10 * SECOND }))
}

#[tokio::test(start_paused = true)]
async fn fifty_jobs_at_five_per_ten_seconds_take_ninety() -> TestResult {
    let paced = settings_with(|settings| {
        settings.concurrency = 2;
        settings.rate_limit = five_per_ten_seconds();
    });
    let queue = LocalQueue::new("test", &paced);
    queue.offer(&jobs_of(1, 50)).await?;

    let starts = Noted::work(&queue, |_| Disposition::Ack).await?.starts(50).await;

    for (nth, (task, at)) in (0..).zip(starts) {
        assert_eq!(task, job(1, nth));
        let second = u32::try_from(nth / 5 * 10)?;
        assert!(at >= second * SECOND && at < (second + 1) * SECOND, "job {nth} began after {at:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_window_opens_with_a_start_and_not_with_the_clock() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.rate_limit = five_per_ten_seconds()));
    let noted = Noted::work(&queue, |_| Disposition::Ack).await?;
    sleep(7 * SECOND).await;

    queue.offer(&jobs_of(1, 6)).await?;

    let seconds: Vec<u64> = noted.starts(6).await.iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(seconds, [7, 7, 7, 7, 7, 17]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_backoff_doubles_and_is_shortened_by_at_most_a_half() -> TestResult {
    let patient = settings_with(|settings| {
        settings.concurrency = 1_000;
        settings.attempts = 4;
        settings.backoff = SECOND;
        settings.max_backoff = 3 * SECOND;
    });
    let queue = LocalQueue::new("test", &patient);
    queue.offer(&jobs_of(1, 100)).await?;

    let starts = Noted::work(&queue, |_| Disposition::Retry("not yet".into())).await?.starts(400).await;

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
    assert!(second_tries[99].checked_sub(second_tries[0]).unwrap() > SECOND / 10, "they all came back together");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn delayed_tasks_come_in_the_order_in_which_they_are_due() -> TestResult {
    let queue = LocalQueue::new("test", &settings());
    let noted = Noted::work(&queue, |_| Disposition::Ack).await?;
    let due = [50, 10, 40, 20, 30_u32];
    let delayed = |(seq, &seconds): (u64, &u32)| Offer { delay: seconds * SECOND, ..ready(1, seq) };
    queue.offer(&(0..).zip(&due).map(delayed).collect::<Vec<_>>()).await?;
    // Due before all others, and told when the worker already waits for one of them.
    sleep(SECOND).await;
    queue.offer(&[Offer { delay: SECOND, ..ready(2, 9) }]).await?;

    let starts = noted.starts(6).await;

    let order: Vec<(Task, u64)> = starts.iter().map(|(task, at)| (*task, at.as_secs())).collect();
    let expected = [(2, 9, 2), (1, 1, 10), (1, 3, 20), (1, 4, 30), (1, 2, 40), (1, 0, 50)];
    assert_eq!(order, expected.map(|(batch, seq, second)| (job(batch, seq), second)));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lone_task_that_is_given_back_again_and_again_rests_in_between() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 2));
    queue.offer(&[ready(1, 0)]).await?;

    let starts = Noted::work(&queue, |_| Disposition::Release).await?.starts(20).await;

    for pair in starts.windows(2) {
        let rest = pair[1].1.checked_sub(pair[0].1).unwrap();
        assert!(rest >= SECOND / 20 && rest < SECOND / 10, "it rested {rest:?}");
    }
    Ok(())
}

/// The drain is polled once and no worker was yet: the tasks are ready, and there would be time for
/// all of them.
#[tokio::test(start_paused = true)]
async fn nothing_begins_from_the_very_call_of_drain() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 10));
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 10)).await?;

    let mut drain = std::pin::pin!(queue.drain(Instant::now() + 10 * SECOND));
    assert!(drain.as_mut().now_or_never().is_none(), "the workers have to be told first");
    let drained = drain.await;

    assert_eq!(drained, Drained::Clean);
    sleep(3_600 * SECOND).await;
    assert!(stage.is_quiet());
    assert_eq!(queue.counts().await?, counts(10, 0, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_outlives_the_deadline_may_still_answer() -> TestResult {
    let queue = LocalQueue::new("test", &settings());
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let slow = stage.next().await?;
    let called = Instant::now();

    assert_eq!(queue.drain(called + 25 * SECOND).await, Drained::Left(1));

    assert_eq!(called.elapsed().as_secs(), 25);
    slow.answer(Disposition::Ack);
    until(&queue, QueueCounts { completed: 1, ..counts(1, 0, 0) }).await?;
    sleep(3_600 * SECOND).await;
    assert!(stage.is_quiet());
    assert_eq!(queue.drain(Instant::now()).await, Drained::Clean);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_has_nothing_to_do_drains_at_once() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let _stage = Stage::of(&queue).await?;
    sleep(SECOND).await;
    let called = Instant::now();

    assert_eq!(queue.drain(called + 25 * SECOND).await, Drained::Clean);

    assert_eq!(called.elapsed(), Duration::ZERO);
    Ok(())
}

/// An offer wakes one worker, however many tasks it brings.
#[tokio::test(start_paused = true)]
async fn workers_that_sleep_wake_one_another() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let mut stage = Stage::of(&queue).await?;
    sleep(SECOND).await;

    queue.offer(&jobs_of(1, 4)).await?;
    queue.offer(&[Offer { delay: SECOND, ..ready(1, 4) }]).await?;

    let mut running = Vec::new();
    for seq in 0..5 {
        running.push(stage.next().await?);
        assert_eq!(running[running.len() - 1].task, job(1, seq));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_second_handler_gets_nothing() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 2));
    let mut first = Stage::of(&queue).await?;
    let mut second = Stage::of(&queue).await?;

    // One by one, so that every worker has its turn.
    for seq in 0..6 {
        queue.offer(&[ready(1, seq)]).await?;
        assert_eq!(first.finish(1).await?, [job(1, seq)]);
        sleep(SECOND).await;
    }

    assert!(second.is_quiet());
    Ok(())
}

/// Workers that waited for ever would keep the handler, and with it whatever it holds open.
#[tokio::test(start_paused = true)]
async fn a_queue_that_is_dropped_lets_its_handler_go() -> TestResult {
    let queue = LocalQueue::new("test", &settings_with(|settings| settings.concurrency = 5));
    let noted = Noted::work(&queue, |_| Disposition::Ack).await?;
    queue.offer(&jobs_of(1, 1)).await?;
    noted.starts(1).await;

    drop(queue);

    sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&noted), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_look_at_it_shows_its_name_and_its_counts() -> TestResult {
    let queue = LocalQueue::new("generate-product-batch-items", &settings());
    queue.offer(&jobs_of(1, 2)).await?;

    let text = format!("{queue:?}");

    assert_eq!(queue.name(), "generate-product-batch-items");
    assert!(text.contains("generate-product-batch-items") && text.contains("waiting: 2"), "{text}");
    Ok(())
}
