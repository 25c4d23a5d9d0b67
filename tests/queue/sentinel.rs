//! The queues where Sentinels say that they are, before and after they say otherwise.

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
    sentinels::Watched,
    suite::{Stage, TestResult, job, ready, settings},
};

/// What is promised on top of the Sentinels' own time.
const AFTERWARDS: Duration = Duration::from_secs(5);

fn place(watched: &Watched) -> RedisSettings {
    let mut settings = RedisSettings::default();
    settings.sentinels = watched.addresses();
    settings.master = "mq".into();
    settings
}

/// Has the Sentinels make the replica the master, while the master lives.
async fn fail_over(watched: &Watched) -> TestResult {
    let client = redis::Client::open(format!("redis://{}", watched.addresses()[0]))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    redis::cmd("SENTINEL").arg("FAILOVER").arg("mq").query_async::<()>(&mut connection).await?;
    Ok(())
}

/// Offers as the feeder does, until task `seq` was worked, and says how long it took.
pub async fn works_again(queue: &dyn Queue, stage: &mut Stage, seq: u64) -> Result<Duration, Box<dyn Error>> {
    let from = Instant::now();
    while queue.offer(&[ready(9, seq)]).await.is_err() {
        sleep(Duration::from_millis(100)).await;
    }
    loop {
        let begun = stage.next().await?;
        let task = begun.task;
        begun.answer(Disposition::Ack);
        if task == job(9, seq) {
            return Ok(from.elapsed());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_is_followed_to_its_replica() -> TestResult {
    let mut watched = Watched::start().await;
    let queue = open(&place(&watched), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    works_again(&queue, &mut stage, 0).await?;

    watched.master.kill();
    watched.has_failed_over().await;
    let took = works_again(&queue, &mut stage, 1).await?;

    println!("worked {took:?} after the Sentinels had decided");
    assert!(took < AFTERWARDS, "{took:?}");
    assert_eq!(watched.replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    Ok(())
}

/// The old master lives, and takes writes for seconds that nobody will ever see again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_relieved_is_left_behind() -> TestResult {
    let watched = Watched::start().await;
    let queue = open(&place(&watched), &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    works_again(&queue, &mut stage, 0).await?;

    fail_over(&watched).await?;
    watched.has_failed_over().await;
    sleep(AFTERWARDS / 2).await;
    let took = works_again(&queue, &mut stage, 1).await?;

    println!("worked after {took:?}");
    assert!(took < AFTERWARDS / 2, "{took:?}");
    assert_eq!(watched.replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sentinel_is_enough_to_find_redis() -> TestResult {
    let mut watched = Watched::start().await;
    watched.kill_sentinels(2);
    let queue = open(&place(&watched), &settings()).await;

    watched.kill_sentinels(3);
    sleep(2 * Duration::from_secs(1)).await;

    queue.ping().await.map_err(Into::into)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_do_not_know_or_do_not_answer_stop_the_launch() -> TestResult {
    let mut watched = Watched::start().await;
    let refused = async |place: &RedisSettings| -> Result<String, Box<dyn Error>> {
        let from = Instant::now();
        let server = Arc::new(Server::new(place)?);
        let error = BullQueue::open("test", &settings(), server).await.expect_err("nobody says where Redis is");
        assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
        Ok(format!("{:?}", error.source()))
    };
    let mut wrong = place(&watched);
    wrong.master = "another".into();

    let said = refused(&wrong).await?;
    assert!(said.contains("it knows no master `another` (`redis.master`)"), "{said}");

    watched.kill_sentinels(3);
    let said = refused(&place(&watched)).await?;
    assert!(said.contains("the Sentinel 127.0.0.1:") && said.contains("refused"), "{said}");
    Ok(())
}
