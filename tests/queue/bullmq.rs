//! The queues in Redis: their harness, and the tests of them alone.

use std::{sync::Arc, time::Duration};

use redis::Value;
use rocket_batch::{
    config::{QueueSettings, RateLimitSetting, RedisSettings},
    domain::RateLimit,
    queue::{
        Disposition, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};

use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use crate::{
    suite::{Harness, TestWorker, batch, counts, job, jobs_of, ready, settings, settings_with, wait_for_counts},
    support::{
        TestResult,
        redis::{Redis, value},
    },
};

/// The variable with the `host:port` of a server that all tests share.
const SHARED_SERVER: &str = "ROCKET_BATCH_TEST_REDIS";

/// Queues with a random prefix, on the shared server if there is one, or else on a server per test.
#[derive(Default)]
struct RedisHarness(OnceCell<Redis>);

impl RedisHarness {
    async fn redis(&self) -> RedisSettings {
        let prefix = format!("test-{:016x}", fastrand::u64(..));
        match std::env::var(SHARED_SERVER) {
            Ok(address) => {
                let (host, port) = address.split_once(':').expect("the variable has the form host:port");
                at(host, port.parse().expect("the variable has the form host:port"), &prefix)
            }
            Err(_) => at("127.0.0.1", self.0.get_or_init(Redis::start).await.port, &prefix),
        }
    }
}

impl Harness for RedisHarness {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(open(&self.redis().await, &settings).await)
    }
}

/// Settings for the server at `host` and `port`.
pub fn at(host: &str, port: u16, prefix: &str) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.host = Some(host.into());
    settings.port = port;
    settings.prefix = prefix.into();
    settings
}

pub async fn open(redis: &RedisSettings, settings: &QueueSettings) -> BullQueue {
    let server = Arc::new(Server::new(redis).expect("the settings are valid").for_ledger("the-ledger"));
    BullQueue::open("test", settings, server).await.expect("Redis answers")
}

every_queue!(RedisHarness::default());

/// Every process has a feeder, and all feeders offer the same jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_several_feeders_offer_runs_once() -> TestResult {
    let harness = RedisHarness::default();
    let redis = harness.redis().await;
    let plain = settings();
    let feeders = [(); 4].map(|()| open(&redis, &plain));
    let feeders = rocket::futures::future::join_all(feeders).await;
    let offers = jobs_of(1, 200);

    rocket::futures::future::try_join_all(feeders.iter().map(|feeder| feeder.offer(&offers))).await?;

    let queue = open(&redis, &settings()).await;
    assert_eq!(queue.counts().await?, counts(200, 0, 0));
    let order = TestWorker::start(&queue).await?.complete(200).await?;
    assert_eq!(order, offers.iter().map(|offer| offer.task).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_rate_limit_and_the_global_concurrency() -> TestResult {
    let harness = RedisHarness::default();
    let redis = harness.redis().await;
    let shared = settings_with(|settings| {
        settings.concurrency = 4;
        settings.global_concurrency = Some(3);
        settings.rate_limit = RateLimitSetting(Some(RateLimit { jobs: 4, per: Duration::from_secs(2) }));
    });
    let (one, other) = (open(&redis, &shared).await, open(&redis, &shared).await);
    one.offer(&jobs_of(1, 10)).await?;
    let (mut worker_of_one, mut worker_of_other) = (TestWorker::start(&one).await?, TestWorker::start(&other).await?);
    let mut attempt = Vec::new();
    while attempt.len() < 3 {
        tokio::select! {
            one = worker_of_one.next() => attempt.push(one?),
            other = worker_of_other.next() => attempt.push(other?),
        }
    }

    sleep(Duration::from_secs(3)).await;

    assert!(worker_of_one.has_no_attempt() && worker_of_other.has_no_attempt(), "a fourth job started");
    attempt.drain(..).for_each(|attempt| attempt.finish_with(Disposition::Ack));
    let from = Instant::now();
    let remaining = async {
        let mut left = 7;
        while left > 0 {
            tokio::select! {
                one = worker_of_one.next() => one?.finish_with(Disposition::Ack),
                other = worker_of_other.next() => other?.finish_with(Disposition::Ack),
            }
            left -= 1;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    remaining.await?;
    assert!(from.elapsed() > Duration::from_secs(1), "seven jobs need more than one window");
    Ok(())
}

/// A job of a newer version is delayed. A malformed job fails, and runs when it is offered again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_jobs_are_delayed_or_failed() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    queue.offer(&jobs_of(1, 3)).await?;
    redis.command(&["HSET", "bull:test:b1-j0-g0", "data", r#"{"v":2,"whatever":true}"#]).await;
    redis.command(&["HSET", "bull:test:b1-j1-g0", "data", "{"]).await;
    let mut worker = TestWorker::start(&queue).await?;

    assert_eq!(worker.complete(1).await?, [job(1, 2)]);

    wait_for_counts(&queue, QueueCounts { completed: 1, failed: 1, ..counts(0, 1, 0) }).await?;
    let reason = redis.command(&["HGET", "bull:test:b1-j1-g0", "failedReason"]).await;
    assert_eq!(reason, Value::BulkString(b"the job data is not a task: its version `v` is missing or invalid".into()));
    assert_eq!(queue.offer(&[ready(1, 1)]).await?, 1);
    assert_eq!(worker.complete(1).await?, [job(1, 1)]);
    Ok(())
}

/// Bull Board shows both beside the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_job_has_its_progress_and_log() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let attempt = worker.next().await?;

    attempt.report(10, "a tenth");
    attempt.report(100, "all");
    attempt.finish_with(Disposition::Fail("at the very end".into()));
    worker.complete(1).await?;

    let lines = ["LRANGE", "bull:test:b1-j0-g0:logs", "0", "-1"];
    redis.until(&lines, |answer| value(answer).is_ok_and(|lines: Vec<String>| lines == ["a tenth", "all"])).await;
    assert_eq!(redis.command(&["HGET", "bull:test:b1-j0-g0", "progress"]).await, Value::BulkString(b"100.0".into()));
    let reason = redis.command(&["HGET", "bull:test:b1-j0-g0", "failedReason"]).await;
    assert_eq!(reason, Value::BulkString(b"at the very end".into()));
    assert_eq!(redis.command(&["EXISTS", "bull:test:b1-j1-g0:logs"]).await, Value::Int(0), "the other job has no log");
    Ok(())
}

/// A job that is retried without end must not grow its log without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_job_is_bounded_and_removed_with_it() -> TestResult {
    let redis = Redis::start().await;
    let queue =
        open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.keep_completed = 0)).await;
    let mut worker = TestWorker::start(&queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let (key, written) = ("bull:test:b1-j0-g0:logs", |lines: Value| value(lines).unwrap_or(0) >= 10_u64);

    for round in 0..8 {
        let attempt = worker.next().await?;
        (0..10).for_each(|line| attempt.report(50, format!("line {line} of round {round}")));
        redis.until(&["LLEN", key], written).await;
        attempt.finish_with(Disposition::Release);
    }
    let last = worker.next().await?;

    redis.until(&["LLEN", key], |lines| lines == Value::Int(50)).await;
    last.finish_with(Disposition::Ack);
    redis.until(&["EXISTS", key], |exists| exists == Value::Int(0)).await;
    Ok(())
}

/// Only the kept jobs and the queue's own keys remain. The stream of events is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_removes_finished_and_withdrawn_jobs() -> TestResult {
    let redis = Redis::start().await;
    let keeps = settings_with(|settings| settings.concurrency = 50);
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &keeps).await;
    queue.offer(&jobs_of(1, 4_000)).await?;
    queue.offer(&jobs_of(2, 500)).await?;
    queue.withdraw(batch(2)).await?;

    TestWorker::start(&queue).await?.complete(4_000).await?;

    wait_for_counts(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await?;
    let keys: Vec<String> = value(redis.command(&["KEYS", "bull:*"]).await)?;
    let jobs = keys.iter().filter(|key| key.starts_with("bull:test:b")).count();
    assert!(jobs == 10 && keys.len() <= 17, "{keys:?}");
    let events: u64 = value(redis.command(&["XLEN", "bull:test:events"]).await)?;
    assert!(events <= 11_000, "{events} events");
    Ok(())
}

/// The documentation of `queue::bullmq` states these numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_opens_few_connections() -> TestResult {
    let redis = Redis::start().await;
    let clients = async || -> Result<usize, Box<dyn std::error::Error>> {
        let list: String = value(redis.command(&["CLIENT", "LIST"]).await)?;
        // Without the connection of this command.
        Ok(list.lines().count() - 1)
    };
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.concurrency = 20)).await;
    queue.offer(&jobs_of(1, 1_000)).await?;
    let feeding = clients().await?;
    assert!((2..=5).contains(&feeding), "{feeding} connections: one adds jobs, up to four make round trips");

    TestWorker::start(&queue).await?.complete(1_000).await?;

    let busy = clients().await?;
    assert!((3..=7).contains(&busy), "{busy} connections");
    queue.drain(Instant::now() + Duration::from_secs(5)).await;
    Ok(())
}
