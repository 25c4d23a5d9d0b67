//! Several processes on one Redis server and one database, and what becomes of a batch when they, or Redis, are taken away.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    TestResult,
    host::{Home, Host},
    is_complete,
    nodes::Nodes,
    outlives_twenty_kills,
    sentinels::Watched,
    server::{Redis, value},
};

#[tokio::test]
async fn a_batch_on_redis_outlives_twenty_kills() -> TestResult {
    let redis = Redis::start().await;

    outlives_twenty_kills(&Home::on_redis(redis.port)?).await?;

    nothing_is_left(&redis).await
}

/// One process serves and three work; whichever is killed, the others have its jobs soon.
#[tokio::test]
async fn three_workers_share_a_batch_and_stand_in_for_each_other() -> TestResult {
    const QUANTITY: i64 = 300_000;
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let web = home.start_as("web").await?;
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(home.start_as("worker").await?);
    }
    let batch = web.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;

    for kill in 0..6 {
        // Each has had its share before it is killed.
        workers[kill % 3].until_it_says("Successfully generated").await?;
        workers[kill % 3].kill().await?;
        workers[kill % 3] = home.start_as("worker").await?;
    }

    is_complete(&web, batch, QUANTITY).await?;
    assert!(!web.said_any("Successfully generated"), "a web process worked");
    for host in workers.into_iter().chain([web]) {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

#[tokio::test]
async fn a_flush_in_the_middle_of_a_batch_delays_it() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 200_000, "batchSize": 1_000 })).await?;

    for items in [20_000, 60_000, 100_000] {
        host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(items)).await?;
        redis.command(&["FLUSHALL"]).await;
    }

    is_complete(&host, batch, 200_000).await?;
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

#[tokio::test]
async fn a_batch_is_accepted_while_redis_is_away_and_made_when_it_is_back() -> TestResult {
    let mut redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let host = home.start().await?;
    redis.kill();

    let batch = host.post(&json!({ "quantity": 1_000 })).await?;
    assert!(!host.is_ready().await?, "nobody works");
    tokio::time::sleep(Duration::from_secs(5)).await;
    redis.start_again().await;

    let back = Instant::now();
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;
    assert!(back.elapsed() < Duration::from_secs(3), "the first items came after {:?}", back.elapsed());
    is_complete(&host, batch, 1_000).await?;
    assert!(host.is_ready().await?);
    host.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_spends_nothing_and_an_idle_host_leaves_at_once() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 200_000, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;

    host.terminate().await?;

    assert_eq!(home.count("SELECT count(*) FROM batch_jobs WHERE state = 'active'").await?, 0);
    let active: u64 = value(redis.command(&["LLEN", "bull:generate-product-batch-items:active"]).await)?;
    assert_eq!(active, 0);
    let host = home.start().await?;
    is_complete(&host, batch, 200_000).await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
    let idle = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));
    assert!(idle.elapsed() < Duration::from_secs(1), "{:?}", idle.elapsed());
    Ok(())
}

/// Redis hangs, jobs run, and the service manager wants the process gone.
#[tokio::test]
async fn a_host_leaves_in_time_when_redis_hangs() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?.with("ROCKET_BATCH__DRAIN", "4s");
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 200_000, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;
    redis.signal("STOP");

    let from = Instant::now();
    let status = host.terminate().await?;

    redis.signal("CONT");
    assert_eq!(status.code(), Some(0));
    assert!(from.elapsed() < Duration::from_secs(5), "{:?}", from.elapsed());
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_batch_leaves_nothing_in_redis() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let host = home.start().await?;
    let [cancelled, paused] = [
        host.post(&json!({ "quantity": 900_000, "batchSize": 1_000 })).await?,
        host.post(&json!({ "quantity": 900_000, "batchSize": 1_000 })).await?,
    ];
    for batch in [cancelled, paused] {
        host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;
    }

    host.send(reqwest::Method::POST, &format!("/batches/{paused}/pause")).await?;
    host.send(reqwest::Method::POST, &format!("/batches/{cancelled}/cancel")).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    nothing_is_left(&redis).await?;
    host.send(reqwest::Method::POST, &format!("/batches/{paused}/resume")).await?;
    host.until(paused, |progress| progress["active"].as_u64() > Some(0)).await?;
    host.terminate().await?;
    Ok(())
}

/// The master is killed in the middle of a batch. Nothing is lost, nothing is made twice, and the work goes on at the replica.
#[tokio::test]
async fn a_batch_outlives_the_master_of_its_sentinels() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let mut watched = Watched::start().await;
    let home = Home::on_sentinels("mq", &watched.addresses())?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    watched.master.kill();
    watched.has_failed_over().await;
    let (decided, before) = (Instant::now(), home.count("SELECT items_created FROM batch_batches").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the Sentinels had decided, at {before} items", decided.elapsed());
    assert!(before < QUANTITY - 4_000, "the kill came too late");
    assert!(decided.elapsed() < Duration::from_secs(5), "{:?}", decided.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    assert!(host.is_ready().await?);
    leaves_soon(host).await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
    Ok(())
}

/// The node that has the queues is killed in the middle of a batch, and its replica takes over.
#[tokio::test]
async fn a_batch_outlives_its_node_of_a_cluster() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let home = Home::on_nodes("{bull}", &nodes.addresses())?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    nodes.all[owner].kill();
    nodes.has_failed_over(owner).await;
    let (decided, before) = (Instant::now(), home.count("SELECT items_created FROM batch_batches").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the nodes had decided, at {before} items", decided.elapsed());
    assert!(before < QUANTITY - 4_000, "the kill came too late");
    assert!(decided.elapsed() < Duration::from_secs(5), "{:?}", decided.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    leaves_soon(host).await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
    Ok(())
}

/// The slot of the queues moves to another node in the middle of a batch, and takes its time.
#[tokio::test]
async fn a_batch_outlives_the_move_of_its_slot() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let nodes = Nodes::start().await;
    let (slot, from) = nodes.owner("{bull}").await;
    let to = (from + 1) % 3;
    let home = Home::on_nodes("{bull}", &nodes.addresses())?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    nodes.half_move(slot, from, to).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    nodes.move_the_rest(slot, from, to).await;
    let (moved, before) = (Instant::now(), home.count("SELECT items_created FROM batch_batches").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the slot was moved, at {before} items", moved.elapsed());
    assert!(before < QUANTITY - 4_000, "the move came too late");
    assert!(moved.elapsed() < Duration::from_secs(5), "{:?}", moved.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    assert!(host.is_ready().await?);
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
    Ok(())
}

/// What Bull Board shows of a job: how far it got, and why not further.
#[tokio::test]
async fn a_job_tells_those_who_look_at_the_queue() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(redis.port)?;
    let host = home.start().await?;
    host.send(reqwest::Method::POST, "/shortage/57").await?;

    let batch = host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
    host.until_over(batch, Duration::from_secs(60)).await?;

    let job = format!("bull:generate-product-batch-items:b{batch}-j0-g0");
    let because = "500 items could not be written: out of labels at 57";
    let reason: String = value(redis.command(&["HGET", &job, "failedReason"]).await)?;
    assert_eq!(reason, because);
    let progress: f64 = value(redis.command(&["HGET", &job, "progress"]).await)?;
    assert!((progress - 50.0).abs() < 1.0, "{progress}");
    let log = format!("{job}:logs");
    redis.until(&["LLEN", &log], |lines| lines == redis::Value::Int(4)).await;
    let log: Vec<String> = value(redis.command(&["LRANGE", &log, "0", "-1"]).await)?;
    let ends = [1, 2, 3].map(|n| format!("Attempt {n} of 3 failed: {because}; set aside: items 0 to 499"));
    assert_eq!(log[0], format!("Processed 500/1000 items for batch {batch}"));
    assert_eq!(log[1..], ends);
    host.terminate().await?;
    Ok(())
}

/// What could not be told to a server that is gone is tried for 5 seconds, and not for the 25 of a drain.
async fn leaves_soon(host: Host) -> TestResult {
    let from = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));
    assert!(from.elapsed() < Duration::from_secs(6), "{:?}", from.elapsed());
    Ok(())
}

/// Only kept jobs remain of what was worked, and the queues' own keys.
async fn nothing_is_left(redis: &Redis) -> TestResult {
    for (queue, kept) in [("generate-product-batch-items", 15), ("update-batch-status", 8)] {
        for line in ["wait", "active"] {
            let length: u64 = value(redis.command(&["LLEN", &format!("bull:{queue}:{line}")]).await)?;
            assert_eq!(length, 0, "{queue} {line}");
        }
        for line in ["prioritized", "delayed"] {
            let length: u64 = value(redis.command(&["ZCARD", &format!("bull:{queue}:{line}")]).await)?;
            assert_eq!(length, 0, "{queue} {line}");
        }
        let keys: Vec<String> = value(redis.command(&["KEYS", &format!("bull:{queue}:b*")]).await)?;
        let (logs, jobs): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.ends_with(":logs"));
        assert!(jobs.len() <= kept, "{jobs:?}");
        for log in logs {
            assert!(jobs.iter().any(|job| log.strip_suffix(":logs") == Some(job)), "{log} has lost its job");
        }
    }
    Ok(())
}
