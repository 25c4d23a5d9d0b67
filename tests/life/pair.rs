//! The ledger in PostgreSQL and the queues in Redis: web and worker processes, with kills of
//! processes and outages of Redis.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::{
    is_complete,
    redis::nothing_is_left,
    support::{
        TestResult,
        events::Events,
        host::{Home, Host, Store},
        redis::{Redis, value},
    },
};

/// The number of jobs that were claimed more than once.
const CLAIMED_AGAIN: &str = "SELECT count(*) FROM rocket_batch_jobs WHERE epoch > 1";

/// Counts the items of a batch.
fn items_of(batch: i64) -> String {
    format!("SELECT count(*) FROM rocket_batch_items WHERE batch = {batch}")
}

async fn workers(home: &Home, number: usize) -> TestResult<Vec<Host>> {
    let mut workers = Vec::new();
    for _ in 0..number {
        workers.push(home.start_as("worker").await?);
    }
    Ok(workers)
}

async fn all_exit(hosts: impl IntoIterator<Item = Host>) -> TestResult {
    for host in hosts {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }
    Ok(())
}

/// One process serves and three work. Two of these are killed and restarted five times each; other
/// workers take over their jobs.
#[tokio::test]
async fn completes_100000_items_despite_ten_kills_of_workers() -> TestResult {
    const QUANTITY: i64 = 100_000;
    let redis = Redis::start().await;
    // With this chunk size a job is two transactions.
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick().with("ROCKET_BATCH__CHUNK_SIZE", "50");
    // The jobs of a large batch are logged at this level.
    let home = home.with("RUST_LOG", "rocket_batch=debug");
    let web = home.start_as("web").await?;
    let mut workers = workers(&home, 3).await?;
    let started = Instant::now();
    let batch = web.post(&json!({ "quantity": QUANTITY })).await?;

    for _ in 0..5 {
        for worker in &mut workers[..2] {
            // Each worker completes a job before it is killed.
            worker.until_printed("Successfully generated").await?;
            worker.kill().await?;
            *worker = home.start_as("worker").await?;
        }
    }
    let made = home.count(&items_of(batch)).await?;

    assert!(made < QUANTITY, "the kills came too late");
    is_complete(&web, batch, QUANTITY).await?;
    println!("{made} items at the last kill; complete after {:?}", started.elapsed());
    assert!(!web.said_any("Successfully generated"), "a web process worked");
    let again = home.count(CLAIMED_AGAIN).await?;
    println!("{again} jobs were claimed again");
    assert!(again > 0, "no worker was killed during a job");
    all_exit(workers.into_iter().chain([web])).await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

/// Every process feeds frequently. Each job is still claimed once, and a small batch does not wait
/// for a large one.
#[tokio::test]
async fn claims_each_job_once_and_interleaves_batches_with_many_feeders() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick().with("ROCKET_BATCH__FEED_INTERVAL", "100ms");
    let web = home.start_as("web").await?;
    let workers = workers(&home, 3).await?;
    let large = web.post(&json!({ "quantity": 30_000 })).await?;
    web.until(large, |progress| progress["itemsCreated"].as_u64() > Some(3_000)).await?;
    let before = home.count(&items_of(large)).await?;

    let small = web.post(&json!({ "quantity": 3_000 })).await?;
    is_complete(&web, small, 3_000).await?;

    let after = home.count(&items_of(large)).await?;
    println!("the large batch had {before} items before the small one, and {after} after");
    assert!(before < after && after < 30_000);
    is_complete(&web, large, 30_000).await?;
    let [jobs, claims] = ["count(*)", "sum(epoch)"].map(|what| format!("SELECT {what} FROM rocket_batch_jobs"));
    let (jobs, claims) = (home.count(&jobs).await?, home.count(&claims).await?);
    assert_eq!((jobs, claims), (330, 330));
    let added: i64 = value(redis.command(&["GET", "bull:generate-product-batch-items:id"]).await)?;
    println!("{added} adds for {jobs} jobs");
    all_exit(workers.into_iter().chain([web])).await?;
    nothing_is_left(&redis).await
}

/// A watcher on each of two web processes, neither of which works.
#[tokio::test]
async fn watchers_of_every_process_see_a_batch_advance_and_end() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let web = [home.start_as("web").await?, home.start_as("web").await?];
    let worker = home.start_as("worker").await?;
    let batch = web[0].post(&json!({ "quantity": 60_000 })).await?;

    let watch = async |host: &Host| Events::of(host.url(&format!("/batches/{batch}/events"))).await?.rest().await;
    let (one, other) = tokio::join!(watch(&web[0]), watch(&web[1]));

    for events in [one?, other?] {
        let items: Vec<_> = events.iter().map(|event| event.data["itemsCreated"].as_u64().unwrap()).collect();
        println!("{items:?}");
        assert!(items.len() > 3 && items.is_sorted(), "{items:?}");
        let end = events.last().ok_or("there are events")?;
        assert_eq!(
            (end.name.as_str(), &end.data["status"], items.last()),
            ("finished", &json!("completed"), Some(&60_000))
        );
    }
    all_exit(web.into_iter().chain([worker])).await?;
    nothing_is_left(&redis).await
}

/// No process with workers runs.
#[tokio::test]
async fn a_batch_whose_worker_hangs_is_reported_as_stalled_and_logged_once_by_each_process() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick().with("ROCKET_BATCH__FEED_INTERVAL", "100ms");
    let web = home.start_as("web").await?;
    let batch = web.post(&json!({ "quantity": 1_000 })).await?;
    assert_eq!(web.progress(batch).await?["stalled"], false, "it has not started");

    // Its jobs do not advance, and the process reports itself nevertheless.
    let hangs = [("ROCKET_BATCH__ROLE", "worker"), ("ROCKET_BATCH_FAILPOINT", "before-insert")];
    let mut hanging = home.start_with(&hangs).await?;
    hanging.until_printed("failpoint before-insert reached").await?;
    home.execute("UPDATE rocket_batch.batches SET started_at = now() - interval '2 minutes'").await?;

    let progress = web.until(batch, |progress| progress["stalled"] == true).await?;
    assert_eq!((&progress["status"], &progress["waitingFor"]), (&json!("running"), &json!(null)));
    web.until_printed("batch stalled").await?;
    hanging.until_printed("batch stalled").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(home.lines_with("batch stalled"), 2);
    hanging.kill().await?;
    let worker = home.start_as("worker").await?;
    is_complete(&web, batch, 1_000).await?;
    all_exit([web, worker]).await
}

/// Active jobs continue. The other jobs are offered again at the next interval, or at the one after
/// it if the flush happens during a pass.
#[tokio::test]
async fn delays_a_batch_by_at_most_two_intervals_after_a_flush() -> TestResult {
    const QUANTITY: i64 = 150_000;
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let web = home.start_as("web").await?;
    let workers = workers(&home, 2).await?;
    let batch = web.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;

    for items in [20_000, 60_000, 100_000] {
        web.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(items)).await?;
        redis.command(&["FLUSHALL"]).await;
        let (flushed, before) = (Instant::now(), home.count(&items_of(batch)).await?);
        // The four active jobs need no Redis; more items come from jobs that were offered again.
        web.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before + 4_000)).await?;
        println!("new jobs {:?} after the flush", flushed.elapsed());
        assert!(flushed.elapsed() < Duration::from_secs(4), "{:?}", flushed.elapsed());
    }

    is_complete(&web, batch, QUANTITY).await?;
    all_exit(workers.into_iter().chain([web])).await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

/// Redis is killed in the middle of a batch and is unavailable for five seconds. Another batch is
/// accepted meanwhile.
#[tokio::test]
async fn continues_within_three_seconds_after_redis_is_back() -> TestResult {
    const QUANTITY: i64 = 100_000;
    let mut redis = Redis::start().await;
    // The feeder is not needed for jobs that Redis still has.
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick().with("ROCKET_BATCH__FEED_INTERVAL", "10s");
    let web = home.start_as("web").await?;
    let workers = workers(&home, 2).await?;
    let batch = web.post(&json!({ "quantity": QUANTITY, "batchSize": 1_000 })).await?;
    web.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(20_000)).await?;

    redis.kill();
    let late = web.post(&json!({ "quantity": 1_000 })).await?;
    assert!(!web.is_ready().await?, "no worker is connected");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = home.count(&items_of(batch)).await?;
    redis.start_again().await;

    let back = Instant::now();
    web.until(batch, |progress| progress["itemsCreated"].as_i64() > Some(before)).await?;
    println!("{before} items while Redis was away; the next ones {:?} after its return", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(3), "the first items came after {:?}", back.elapsed());
    assert!(before < QUANTITY, "the kill came too late");
    is_complete(&web, batch, QUANTITY).await?;
    is_complete(&web, late, 1_000).await?;
    assert!(web.is_ready().await?);
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    // A job that was completed during the outage stays active in Redis until its lock expires.
    let active = ["LLEN", "bull:generate-product-batch-items:active"];
    redis.until(&active, |length| length == redis::Value::Int(0)).await;
    all_exit(workers.into_iter().chain([web])).await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

/// A worker is stopped for longer than its lock. Another worker claims its job and is stopped too.
/// Then the first worker continues.
#[tokio::test]
async fn inserts_nothing_from_a_worker_that_continues_after_its_lock() -> TestResult {
    const QUANTITY: i64 = 20_000;
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick().with("ROCKET_BATCH__CHUNK_SIZE", "20");
    let web = home.start_as("web").await?;
    let first = [("ROCKET_BATCH__ROLE", "worker"), ("RUST_LOG", "rocket_batch=debug"), ("NO_COLOR", "1")];
    let first = home.start_with(&first).await?;
    let batch = web.post(&json!({ "quantity": QUANTITY, "batchSize": 5_000 })).await?;
    web.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(100)).await?;

    first.signal("STOP")?;
    // Its lock lasts longer than the test, so that no other worker takes over.
    let second = [("ROCKET_BATCH__ROLE", "worker"), ("ROCKET_BATCH__GENERATE__LOCK", "60s")];
    let second = home.start_with(&second).await?;
    let taken =
        "SELECT coalesce(min(seq), -1) FROM rocket_batch_jobs WHERE state = 'active' AND epoch = 2 AND created < 4000";
    let job = home.until(taken, |seq| seq >= 0).await?;
    second.signal("STOP")?;
    let of_job = |what: &str| format!("SELECT {what} FROM rocket_batch_jobs WHERE seq = {job}");
    let [range, created] = ["first", "created"].map(of_job);
    let from = home.count(&range).await?;
    let there = format!("{} AND ordinal BETWEEN {from} AND {from} + 4999", items_of(batch));
    let (before, counted) = (home.count(&there).await?, home.count(&created).await?);
    assert!(before < 5_000, "the second worker was stopped too late");

    first.signal("CONT")?;

    first.until_printed(&format!("task=b{batch}-j{job}-g0 disposition=")).await?;
    assert_eq!((home.count(&there).await?, home.count(&created).await?), (before, counted));
    assert_eq!(home.count(&of_job("epoch")).await?, 2);
    second.signal("CONT")?;
    is_complete(&web, batch, QUANTITY).await?;
    assert_eq!(home.count(&of_job("epoch")).await?, 2, "the worker with the claim completed the job");
    all_exit([web, first, second]).await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

/// With the default lock and stall check.
#[tokio::test]
async fn takes_over_from_a_killed_worker_within_21_seconds() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?;
    let web = home.start_as("web").await?;
    let mut first = home.start_with(&[("ROCKET_BATCH__ROLE", "worker"), ("ROCKET_BATCH__CHUNK_SIZE", "5")]).await?;
    let batch = web.post(&json!({ "quantity": 20_000, "batchSize": 10_000 })).await?;
    web.until(batch, |progress| progress["active"] == 2).await?;
    let second = home.start_as("worker").await?;

    let active = "SELECT count(*) FROM rocket_batch_jobs WHERE state = 'active' AND epoch = 1";
    assert_eq!(home.count(active).await?, 2, "the first worker was too fast");
    first.kill().await?;
    let killed = Instant::now();
    home.until(CLAIMED_AGAIN, |jobs| jobs == 2).await?;

    println!("both jobs were taken over {:?} after the kill", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(21), "{:?}", killed.elapsed());
    is_complete(&web, batch, 20_000).await?;
    all_exit([web, second]).await?;
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

#[tokio::test]
async fn removes_cancelled_and_paused_batches_from_redis() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let web = home.start_as("web").await?;
    let workers = workers(&home, 2).await?;
    let body = json!({ "quantity": 900_000, "batchSize": 1_000 });
    let [cancelled, paused] = [web.post(&body).await?, web.post(&body).await?];
    for batch in [cancelled, paused] {
        web.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;
    }

    web.send(Method::POST, &format!("/batches/{paused}/pause")).await?;
    web.send(Method::POST, &format!("/batches/{cancelled}/cancel")).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    nothing_is_left(&redis).await?;
    web.send(Method::POST, &format!("/batches/{paused}/resume")).await?;
    web.until(paused, |progress| progress["active"].as_u64() > Some(0)).await?;
    all_exit(workers.into_iter().chain([web])).await
}
