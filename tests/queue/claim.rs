//! One prefix in Redis belongs to one ledger.

use std::{error::Error, sync::Arc, time::Duration};

use redis::Value;
use rocket_batch::queue::{
    Queue, QueueError,
    bullmq::{BullQueue, Server},
};
use tokio::time::timeout;

use crate::{
    bullmq::at,
    suite::{TestWorker, job, jobs_of, ready, settings},
    support::{
        TestResult,
        log::Log,
        redis::{Redis, value},
        wait::until,
    },
};

const KEY: &str = "bull:rocket_batch:ledger";

async fn open_for(ledger: &str, redis: &Redis, prefix: &str) -> rocket_batch::queue::Result<BullQueue> {
    let server = Server::new(&at("127.0.0.1", redis.port, prefix))?.for_ledger(ledger);
    BullQueue::open("test", &settings(), Arc::new(server.with_check_interval(Duration::from_millis(100)))).await
}

/// Waits until the key has the identity `ledger`.
async fn claimed_by(ledger: &str, redis: &Redis) {
    redis.until(&["GET", KEY], |owner| value::<Option<String>>(owner).unwrap().as_deref() == Some(ledger)).await;
}

/// Waits until a queue refuses offers because of another ledger.
async fn refuses_offers(queue: &BullQueue) -> TestResult {
    let offer = async || queue.offer(&[ready(1, 0)]).await;
    let is_refused = |offered: &Result<_, _>| matches!(offered, Err(QueueError::OtherLedger { .. }));
    Ok(until("an offer is refused", Duration::from_secs(10), offer, is_refused).await.map(drop)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_of_another_ledger_fails_the_launch() -> TestResult {
    let redis = Redis::start().await;
    let _first = open_for("a", &redis, "bull").await?;

    let refused = open_for("b", &redis, "bull").await;

    assert!(matches!(refused, Err(QueueError::OtherLedger { .. })), "{refused:?}");
    assert!(open_for("a", &redis, "bull").await.is_ok(), "another process of the same ledger");
    assert!(open_for("b", &redis, "shop").await.is_ok(), "another prefix");
    assert_eq!(value::<String>(redis.command(&["GET", KEY]).await)?, "a");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_twenty_ledgers_that_launch_at_once_one_gets_the_prefix() -> TestResult {
    let redis = Redis::start().await;
    let names: Vec<_> = (0..20).map(|name| format!("ledger-{name}")).collect();

    let opened = rocket::futures::future::join_all(names.iter().map(|name| open_for(name, &redis, "bull"))).await;

    assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
    assert!(opened.iter().all(|opened| matches!(opened, Ok(_) | Err(QueueError::OtherLedger { .. }))), "{opened:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_process_claims_its_prefix_again_after_a_flush() -> TestResult {
    let redis = Redis::start().await;
    let idle = open_for("a", &redis, "bull").await?;

    redis.command(&["FLUSHALL"]).await;
    claimed_by("a", &redis).await;

    let mut worker = TestWorker::start(&idle).await?;
    idle.offer(&jobs_of(1, 2)).await?;
    assert_eq!(worker.complete(2).await?, [job(1, 0), job(1, 1)]);
    Ok(())
}

/// After a flush, the other ledger is faster. Nothing of one may get into the other.
#[tokio::test]
async fn a_process_whose_prefix_was_taken_neither_adds_nor_takes_nor_removes_jobs() -> TestResult {
    let (log, _guard) = Log::of_this_thread();
    let redis = Redis::start().await;
    let first = open_for("a", &redis, "bull").await?;
    let mut worker_of_first = TestWorker::start(&first).await?;
    first.offer(&jobs_of(1, 1)).await?;
    worker_of_first.complete(1).await?;
    // The same as a flush after which another ledger is the first to set its key.
    redis.command(&["SET", KEY, "b"]).await;

    let second = open_for("b", &redis, "bull").await?;
    second.offer(&jobs_of(1, 3)).await?;

    refuses_offers(&first).await?;
    assert!(matches!(first.withdraw(crate::suite::batch(1)).await, Err(QueueError::OtherLedger { .. })));
    assert!(matches!(first.ping().await, Err(QueueError::OtherLedger { .. })));
    log.until("another ledger has taken the prefix in Redis").await?;
    let taken = timeout(Duration::from_secs(3), worker_of_first.next()).await;
    assert!(taken.is_err(), "the worker of one ledger has run a job of the other");
    assert_eq!(log.text().matches("another ledger has taken the prefix in Redis; this").count(), 1, "{}", log.text());
    let mut worker_of_second = TestWorker::start(&second).await?;
    let mut done = worker_of_second.complete(3).await?;
    done.sort_by_key(ToString::to_string);
    assert_eq!(done, [job(1, 0), job(1, 1), job(1, 2)]);
    Ok(())
}

#[tokio::test]
async fn a_process_works_again_when_its_prefix_is_free() -> TestResult {
    let (log, _guard) = Log::of_this_thread();
    let redis = Redis::start().await;
    let queue = open_for("a", &redis, "bull").await?;
    let mut worker = TestWorker::start(&queue).await?;
    redis.command(&["SET", KEY, "b"]).await;
    refuses_offers(&queue).await?;
    log.until("another ledger has taken the prefix in Redis").await?;

    redis.command(&["DEL", KEY]).await;
    claimed_by("a", &redis).await;

    queue.offer(&[ready(1, 0)]).await?;
    assert_eq!(worker.complete(1).await?, [job(1, 0)]);
    log.until("the prefix in Redis belongs to this ledger again").await
}

/// A worker may fetch a job before its next look at the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_another_ledger_is_not_run_even_if_it_was_fetched() -> TestResult {
    let redis = Redis::start().await;
    let first = open_for("a", &redis, "bull").await?;
    let mut worker = TestWorker::start(&first).await?;
    let data = r#"{"v":1,"ledger":"b","batch":1,"seq":0,"generation":0,"first":0,"quantity":100}"#;
    let job_key = "bull:test:b1-j0-g0";
    let fields = ["name", "generate", "data", data, "opts", "{}", "timestamp", "1", "delay", "0", "priority", "0"];
    redis.command(&[&["HSET", job_key], &fields[..]].concat()).await;

    redis.command(&["LPUSH", "bull:test:wait", "b1-j0-g0"]).await;
    redis.command(&["ZADD", "bull:test:marker", "0", "0"]).await;

    redis.until(&["ZSCORE", "bull:test:delayed", "b1-j0-g0"], |score| score != Value::Nil).await;
    first.offer(&[ready(2, 0)]).await?;
    assert_eq!(worker.complete(1).await?, [job(2, 0)], "only the job of its own ledger has run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_a_right_on_the_key_of_the_prefix_fails_the_launch() -> TestResult {
    let redis = Redis::start().await;
    let acl = ["ACL", "SETUSER", "batch", "on", ">a-secret", "~bull:test:*", "+@all"];
    redis.command(&acl).await;
    let mut settings_of_redis = at("127.0.0.1", redis.port, "bull");
    settings_of_redis.username = Some("batch".into());
    settings_of_redis.password = Some(rocket_batch::config::Secret::new("a-secret"));

    let server = Arc::new(Server::new(&settings_of_redis)?.for_ledger("a"));
    let error = BullQueue::open("test", &settings(), server).await.expect_err("a key is not granted");

    let message = format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    assert!(
        message.contains("lacks permissions") && message.contains("keys") && message.contains("guide"),
        "{message}"
    );
    Ok(())
}
