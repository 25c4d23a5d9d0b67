//! The queues in a Redis that Sentinels watch, before and after a failover.

use std::{error::Error, sync::Arc, time::Duration};

use rocket_batch::{
    config::RedisSettings,
    queue::{
        Disposition, Queue,
        bullmq::{BullQueue, Server},
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    bullmq::open,
    suite::{TestWorker, job, ready, settings},
    support::{TestResult, sentinels::Watched},
};

/// The documented limit for a recovery, without the time that the Sentinels need.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(5);

fn redis_settings(watched: &Watched) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.sentinels = watched.addresses();
    settings.master = "mq".into();
    settings
}

/// Makes the Sentinels fail over to the replica while the master is running.
async fn fail_over(watched: &Watched) -> TestResult {
    let client = redis::Client::open(format!("redis://{}", watched.addresses()[0]))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("SENTINEL").arg("FAILOVER").arg("mq").query_async::<()>(&mut connection).await?;
    Ok(())
}

/// Offers task `seq` as the feeder does until it has run, and returns how long that took.
pub async fn time_until_job_runs(queue: &dyn Queue, worker: &mut TestWorker, seq: u64) -> TestResult<Duration> {
    let from = Instant::now();
    while queue.offer(&[ready(9, seq)]).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    loop {
        let attempt = worker.next().await?;
        let task = attempt.task;
        attempt.finish_with(Disposition::Ack);
        if task == job(9, seq) {
            return Ok(from.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_moves_to_the_replica_of_a_killed_master() -> TestResult {
    let mut watched = Watched::start().await;
    let queue = open(&redis_settings(&watched), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    time_until_job_runs(&queue, &mut worker, 0).await?;

    watched.master.kill();
    watched.wait_for_failover().await;
    let took = time_until_job_runs(&queue, &mut worker, 1).await?;

    println!("ran {took:?} after the failover");
    assert!(took < RECOVERY_TIMEOUT, "{took:?}");
    assert_eq!(watched.replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    Ok(())
}

/// The old master keeps running, and for seconds accepts writes that are lost later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_moves_to_the_replica_after_a_manual_failover() -> TestResult {
    let watched = Watched::start().await;
    let queue = open(&redis_settings(&watched), &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    time_until_job_runs(&queue, &mut worker, 0).await?;

    fail_over(&watched).await?;
    watched.wait_for_failover().await;
    sleep(RECOVERY_TIMEOUT / 2).await;
    let took = time_until_job_runs(&queue, &mut worker, 1).await?;

    println!("ran after {took:?}");
    assert!(took < RECOVERY_TIMEOUT / 2, "{took:?}");
    assert_eq!(watched.replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reachable_sentinel_is_enough_to_find_redis() -> TestResult {
    let mut watched = Watched::start().await;
    watched.kill_sentinels(2);
    let queue = open(&redis_settings(&watched), &settings()).await;

    watched.kill_sentinels(3);
    sleep(2 * Duration::from_secs(1)).await;

    queue.ping().await.map_err(Into::into)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_lack_the_master_or_do_not_answer_fail_the_launch() -> TestResult {
    let mut watched = Watched::start().await;
    let launch_error = async |redis_settings: &RedisSettings| -> TestResult<String> {
        let from = Instant::now();
        let server = Arc::new(Server::new(redis_settings)?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("no Sentinel reports the master");
        assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
        Ok(format!("{:?}", error.source()))
    };
    let mut wrong = redis_settings(&watched);
    wrong.master = "another".into();

    let message = launch_error(&wrong).await?;
    assert!(message.contains("this Sentinel has no master named `another`; check `batch.redis.master`"), "{message}");

    watched.kill_sentinels(3);
    let message = launch_error(&redis_settings(&watched)).await?;
    assert!(message.contains("the Sentinel 127.0.0.1:") && message.contains("refused"), "{message}");
    Ok(())
}
