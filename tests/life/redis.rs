//! The example host with Redis: the queues of several processes, and what remains of them after a
//! batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rocket_batch::{
    config::{QueueSettings, RedisSettings},
    domain::{BatchId, JobId, Task},
    queue::{
        Offer, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use serde_json::json;

use crate::{
    complete_despite_twenty_kills, is_complete,
    support::{
        TestResult,
        host::{Home, Host, Store},
        redis::{Redis, value},
        redis_cluster::Nodes,
        sentinels::Watched,
    },
};

/// The jobs of a large batch are not logged one by one, and a clean shutdown needs no attention.
#[tokio::test]
async fn logs_100000_items_and_a_clean_shutdown_in_less_than_60_lines_without_a_warning() -> TestResult {
    let redis = Redis::start().await;
    for home in [Home::new()?.quick(), Home::on_redis(Store::Postgres, redis.port)?.quick()] {
        let home = home.with("NO_COLOR", "1");
        let host = home.start().await?;
        let batch = host.post(&json!({ "quantity": 100_000 })).await?;
        is_complete(&host, batch, 100_000).await?;
        host.terminate().await?;

        let mut printed = home.printed();
        // Rocket logs its launch and its shutdown as warnings.
        printed.retain(|line| !line.contains("Rocket has launched") && !line.contains("Received SIGTERM"));
        let count = |level: &str| printed.iter().filter(|line| line.contains(level)).count();
        assert!((3..60).contains(&count(" INFO ")), "{printed:#?}");
        assert_eq!(count(" WARN ") + count(" ERROR "), 0, "{printed:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn completes_a_batch_in_sqlite_and_redis_despite_twenty_kills() -> TestResult {
    complete_on_redis_despite_twenty_kills(Store::Sqlite).await
}

#[tokio::test]
async fn completes_a_batch_in_postgres_and_redis_despite_twenty_kills() -> TestResult {
    complete_on_redis_despite_twenty_kills(Store::Postgres).await
}

async fn complete_on_redis_despite_twenty_kills(store: Store) -> TestResult {
    let redis = Redis::start().await;

    complete_despite_twenty_kills(&Home::on_redis(store, redis.port)?.quick()).await?;

    nothing_is_left(&redis).await
}

/// Such a job is left over or was added manually. Nothing waits for it, so it is not a failure.
#[tokio::test]
async fn acknowledges_a_job_whose_row_was_removed() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Sqlite, redis.port)?.with("ROCKET_BATCH__KEEP_HISTORY", "1s");
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 1_000, "batchSize": 100 })).await?;
    is_complete(&host, batch, 1_000).await?;
    host.until_printed("old history was removed").await?;
    assert_eq!(home.count("SELECT count(*) FROM rocket_batch_jobs").await?, 0);

    redis.command(&["FLUSHALL"]).await;

    let mut settings = RedisSettings::default();
    (settings.host, settings.port) = (Some("127.0.0.1".into()), redis.port);
    let server = Arc::new(Server::new(&settings)?);
    let queue = BullQueue::open("generate-product-batch-items", &QueueSettings::default(), server).await?;
    let job = JobId { batch: BatchId::new(batch)?, seq: 3, generation: 0 };
    let task = Task::Generate { job, first: 300, quantity: 100 };
    assert_eq!(queue.offer(&[Offer { task, rank: 0, delay: Duration::ZERO, attempts_made: 0 }]).await?, 1);

    let completed = "bull:generate-product-batch-items:completed";
    redis.until(&["ZSCORE", completed, &job.to_string()], |score| score != redis::Value::Nil).await;
    assert_eq!(queue.counts().await?, QueueCounts { completed: 1, ..QueueCounts::default() });
    nothing_is_left(&redis).await?;
    assert_eq!(home.count("SELECT count(*) FROM rocket_batch_items").await?, 1_000);
    host.terminate().await?;
    Ok(())
}

/// The master is killed in the middle of a batch. Work continues on the replica; no item is
/// missing, and none is generated twice.
#[tokio::test]
async fn completes_a_batch_after_a_failover_of_sentinels() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let mut watched = Watched::start().await;
    let home = Home::on_sentinels("mq", &watched.addresses())?.quick();
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    watched.master.kill();
    watched.wait_for_failover().await;
    let (decided, before) =
        (Instant::now(), home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the Sentinels had decided, at {before} items", decided.elapsed());
    assert!(before < QUANTITY - 4_000, "the kill came too late");
    assert!(decided.elapsed() < Duration::from_secs(5), "{:?}", decided.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    assert!(host.is_ready().await?);
    exits_soon(host).await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    Ok(())
}

/// The node with the queues is killed in the middle of a batch, and its replica takes over.
#[tokio::test]
async fn completes_a_batch_after_a_failover_in_a_cluster() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let mut nodes = Nodes::with_replicas().await;
    let (_, owner) = nodes.owner("{bull}").await;
    let home = Home::on_nodes("{bull}", &nodes.addresses())?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    nodes.all[owner].kill();
    nodes.wait_for_failover(owner).await;
    let (decided, before) =
        (Instant::now(), home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the nodes had decided, at {before} items", decided.elapsed());
    assert!(before < QUANTITY - 4_000, "the kill came too late");
    assert!(decided.elapsed() < Duration::from_secs(5), "{:?}", decided.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    exits_soon(host).await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    Ok(())
}

/// The slot of the queues moves slowly to another node in the middle of a batch.
#[tokio::test]
async fn completes_a_batch_while_its_slot_moves() -> TestResult {
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
    let (moved, before) =
        (Instant::now(), home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await?);
    host.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;

    println!("working again {:?} after the slot was moved, at {before} items", moved.elapsed());
    assert!(before < QUANTITY - 4_000, "the move came too late");
    assert!(moved.elapsed() < Duration::from_secs(5), "{:?}", moved.elapsed());
    is_complete(&host, batch, QUANTITY).await?;
    assert!(host.is_ready().await?);
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    Ok(())
}

/// Bull Board shows the progress of a job and its errors.
#[tokio::test]
async fn shows_progress_and_errors_of_a_job_in_the_queue() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Sqlite, redis.port)?.quick();
    let host = home.start().await?;
    host.send(reqwest::Method::POST, "/shortage/57").await?;

    let batch = host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
    host.until_finished(batch, Duration::from_secs(60)).await?;

    let job = format!("bull:generate-product-batch-items:b{batch}-j0-g0");
    let error = "500 items could not be written: out of labels at 57";
    let reason: String = value(redis.command(&["HGET", &job, "failedReason"]).await)?;
    assert_eq!(reason, error);
    let progress: f64 = value(redis.command(&["HGET", &job, "progress"]).await)?;
    assert!((progress - 50.0).abs() < 1.0, "{progress}");
    let log = format!("{job}:logs");
    redis.until(&["LLEN", &log], |lines| lines == redis::Value::Int(4)).await;
    let log: Vec<String> = value(redis.command(&["LRANGE", &log, "0", "-1"]).await)?;
    let ends = [1, 2, 3].map(|n| format!("Attempt {n} of 3 failed: {error}; failed chunks: items 0 to 499"));
    assert_eq!(log[0], format!("Processed 500/1000 items for batch {batch}"));
    assert_eq!(log[1..], ends);
    host.terminate().await?;
    Ok(())
}

/// Checks that the host exits after at most 5 seconds of trying to reach a stopped server, not
/// after the 25 seconds of the drain.
async fn exits_soon(host: Host) -> TestResult {
    let from = Instant::now();
    assert_eq!(host.terminate().await?.code(), Some(0));
    assert!(from.elapsed() < Duration::from_secs(6), "{:?}", from.elapsed());
    Ok(())
}

/// Checks that Redis has only kept jobs with their logs, and the keys of the queues themselves.
pub async fn nothing_is_left(redis: &Redis) -> TestResult {
    for (queue, kept) in [("generate-product-batch-items", [10, 5]), ("update-batch-status", [5, 3])] {
        let mut jobs = Vec::new();
        for (state, max) in ["completed", "failed"].into_iter().zip(kept) {
            let ids: Vec<String> =
                value(redis.command(&["ZRANGE", &format!("bull:{queue}:{state}"), "0", "-1"]).await)?;
            assert!(ids.len() <= max, "{queue}: {state}: {ids:?}");
            jobs.extend(ids);
        }
        let keys: Vec<String> = value(redis.command(&["KEYS", &format!("bull:{queue}:*")]).await)?;
        for key in keys {
            let own = key.split(':').nth(2).unwrap_or_default();
            let of_the_queue =
                ["completed", "failed", "meta", "id", "events", "marker", "stalled-check", "pc", "limiter"];
            assert!(of_the_queue.contains(&own) || jobs.iter().any(|job| job == own), "{key} is left");
        }
    }
    Ok(())
}
