//! The queues in Redis: their harness, and what is true of them alone.

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
    server::{self, Redis},
    suite::{Harness, Stage, TestResult, batch, counts, job, jobs_of, ready, settings, settings_with, until},
};

/// The server that all tests of a run may share, as `host:port`.
const SHARED: &str = "ROCKET_BATCH_TEST_REDIS";

/// Queues with a prefix of their own on the shared server, or on a server of their own, which ends
/// with them.
#[derive(Default)]
struct OfTheirOwn(OnceCell<Redis>);

impl OfTheirOwn {
    async fn redis(&self) -> RedisSettings {
        let prefix = format!("test-{:016x}", fastrand::u64(..));
        match std::env::var(SHARED) {
            Ok(address) => {
                let (host, port) = address.split_once(':').expect("it reads host:port");
                at(host, port.parse().expect("it reads host:port"), &prefix)
            }
            Err(_) => at("127.0.0.1", self.0.get_or_init(Redis::start).await.port, &prefix),
        }
    }
}

impl Harness for OfTheirOwn {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(open(&self.redis().await, &settings).await)
    }
}

/// How to reach a server.
pub fn at(host: &str, port: u16, prefix: &str) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.host = Some(host.into());
    settings.port = port;
    settings.prefix = prefix.into();
    settings
}

pub async fn open(redis: &RedisSettings, settings: &QueueSettings) -> BullQueue {
    let server = Arc::new(Server::new(redis).expect("the settings make an address"));
    BullQueue::open("test", settings, server).await.expect("Redis answers")
}

every_queue!(OfTheirOwn::default());

/// Every process has a feeder, and all of them offer what the ledger has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_feeders_offer_runs_once() -> TestResult {
    let given = OfTheirOwn::default();
    let redis = given.redis().await;
    let plain = settings();
    let feeders = [(); 4].map(|()| open(&redis, &plain));
    let feeders = rocket::futures::future::join_all(feeders).await;
    let offers = jobs_of(1, 200);

    rocket::futures::future::try_join_all(feeders.iter().map(|feeder| feeder.offer(&offers))).await?;

    let queue = open(&redis, &settings()).await;
    assert_eq!(queue.counts().await?, counts(200, 0, 0));
    let order = Stage::of(&queue).await?.finish(200).await?;
    assert_eq!(order, offers.iter().map(|offer| offer.task).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_rate_limit_and_the_global_concurrency() -> TestResult {
    let given = OfTheirOwn::default();
    let redis = given.redis().await;
    let shared = settings_with(|settings| {
        settings.concurrency = 4;
        settings.global_concurrency = Some(3);
        settings.rate_limit = RateLimitSetting(Some(RateLimit { jobs: 4, per: Duration::from_secs(2) }));
    });
    let (one, other) = (open(&redis, &shared).await, open(&redis, &shared).await);
    one.offer(&jobs_of(1, 10)).await?;
    let (mut stage_of_one, mut stage_of_other) = (Stage::of(&one).await?, Stage::of(&other).await?);
    let mut begun = Vec::new();
    while begun.len() < 3 {
        tokio::select! {
            one = stage_of_one.next() => begun.push(one?),
            other = stage_of_other.next() => begun.push(other?),
        }
    }

    sleep(Duration::from_secs(3)).await;

    assert!(stage_of_one.is_quiet() && stage_of_other.is_quiet(), "a fourth one began");
    begun.drain(..).for_each(|begun| begun.answer(Disposition::Ack));
    let from = Instant::now();
    let rest = async {
        let mut left = 7;
        while left > 0 {
            tokio::select! {
                one = stage_of_one.next() => one?.answer(Disposition::Ack),
                other = stage_of_other.next() => other?.answer(Disposition::Ack),
            }
            left -= 1;
        }
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    rest.await?;
    assert!(from.elapsed() > Duration::from_secs(1), "seven are more than one window has");
    Ok(())
}

/// What only a newer process can read is left to it; what nobody can read is failed, and offered
/// anew it is as good as new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_data_is_no_panic() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    queue.offer(&jobs_of(1, 3)).await?;
    redis.command(&["HSET", "bull:test:b1-j0-g0", "data", r#"{"v":2,"whatever":true}"#]).await;
    redis.command(&["HSET", "bull:test:b1-j1-g0", "data", "{"]).await;
    let mut stage = Stage::of(&queue).await?;

    assert_eq!(stage.finish(1).await?, [job(1, 2)]);

    until(&queue, QueueCounts { completed: 1, failed: 1, ..counts(0, 1, 0) }).await?;
    let why = redis.command(&["HGET", "bull:test:b1-j1-g0", "failedReason"]).await;
    assert_eq!(why, Value::BulkString(b"the data of the job is no task: it has no version".into()));
    assert_eq!(queue.offer(&[ready(1, 1)]).await?, 1);
    assert_eq!(stage.finish(1).await?, [job(1, 1)]);
    Ok(())
}

/// Bull Board shows them beside the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_read_with_the_job_that_is_kept() -> TestResult {
    let redis = Redis::start().await;
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&jobs_of(1, 2)).await?;
    let begun = stage.next().await?;

    begun.report(10, "a tenth");
    begun.report(100, "all");
    begun.answer(Disposition::Fail("at the very end".into()));
    stage.finish(1).await?;

    let lines = ["LRANGE", "bull:test:b1-j0-g0:logs", "0", "-1"];
    redis
        .until(&lines, |answer| server::value(answer).is_ok_and(|lines: Vec<String>| lines == ["a tenth", "all"]))
        .await;
    assert_eq!(redis.command(&["HGET", "bull:test:b1-j0-g0", "progress"]).await, Value::BulkString(b"100.0".into()));
    let why = redis.command(&["HGET", "bull:test:b1-j0-g0", "failedReason"]).await;
    assert_eq!(why, Value::BulkString(b"at the very end".into()));
    assert_eq!(redis.command(&["EXISTS", "bull:test:b1-j1-g0:logs"]).await, Value::Int(0), "nothing was noted");
    Ok(())
}

/// A job that is tried for ever has no log without end, and one that is gone leaves none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_job_has_its_bound_and_goes_with_it() -> TestResult {
    let redis = Redis::start().await;
    let queue =
        open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.keep_completed = 0)).await;
    let mut stage = Stage::of(&queue).await?;
    queue.offer(&[ready(1, 0)]).await?;
    let (key, written) = ("bull:test:b1-j0-g0:logs", |lines: Value| server::value(lines).unwrap_or(0) >= 10_u64);

    for attempt in 0..8 {
        let begun = stage.next().await?;
        (0..10).for_each(|line| begun.report(50, format!("line {line} of attempt {attempt}")));
        redis.until(&["LLEN", key], written).await;
        begun.answer(Disposition::Release);
    }
    let last = stage.next().await?;

    redis.until(&["LLEN", key], |lines| lines == Value::Int(50)).await;
    last.answer(Disposition::Ack);
    redis.until(&["EXISTS", key], |exists| exists == Value::Int(0)).await;
    Ok(())
}

/// What is kept, and the queue's own keys; the stream of events has its bound, and a cancelled
/// batch leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_cleans_up_after_itself() -> TestResult {
    let redis = Redis::start().await;
    let keeps = settings_with(|settings| settings.concurrency = 50);
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &keeps).await;
    queue.offer(&jobs_of(1, 4_000)).await?;
    queue.offer(&jobs_of(2, 500)).await?;
    queue.withdraw(batch(2)).await?;

    Stage::of(&queue).await?.finish(4_000).await?;

    until(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await?;
    let keys: Vec<String> = server::value(redis.command(&["KEYS", "bull:*"]).await)?;
    let jobs = keys.iter().filter(|key| key.starts_with("bull:test:b")).count();
    assert!(jobs == 10 && keys.len() <= 17, "{keys:?}");
    let events: u64 = server::value(redis.command(&["XLEN", "bull:test:events"]).await)?;
    assert!(events <= 11_000, "{events} events");
    Ok(())
}

/// As the module says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_has_few_connections() -> TestResult {
    let redis = Redis::start().await;
    let clients = async || -> Result<usize, Box<dyn std::error::Error>> {
        let list: String = server::value(redis.command(&["CLIENT", "LIST"]).await)?;
        // Without the one that asks.
        Ok(list.lines().count() - 1)
    };
    let queue = open(&at("127.0.0.1", redis.port, "bull"), &settings_with(|settings| settings.concurrency = 20)).await;
    queue.offer(&jobs_of(1, 1_000)).await?;
    let feeding = clients().await?;
    assert!((2..=5).contains(&feeding), "{feeding} connections: one adds, up to four ask");

    Stage::of(&queue).await?.finish(1_000).await?;

    let busy = clients().await?;
    assert!((3..=7).contains(&busy), "{busy} connections");
    queue.drain(Instant::now() + Duration::from_secs(5)).await;
    Ok(())
}
