//! The table of processes: which there are, and what progress says when none of them runs jobs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    is_complete,
    support::{
        TestResult,
        events::Events,
        host::{Home, Host, Store},
        redis::Redis,
        wait::try_until,
    },
};

async fn workers(host: &Host) -> TestResult<Vec<Value>> {
    let page = host.get("/batches/workers").await?;
    assert_eq!(page["nextCursor"], Value::Null);
    Ok(page["items"].as_array().ok_or("no items")?.clone())
}

async fn until_listed(host: &Host, limit: Duration, condition: impl Fn(&[Value]) -> bool) -> TestResult<Vec<Value>> {
    try_until("the workers are as expected", limit, || workers(host), |listed| condition(listed)).await
}

/// A worker is killed in the middle of its jobs, and nobody is left to take them over.
async fn a_killed_worker_is_missed_and_replaced(store: Store) -> TestResult {
    const QUANTITY: i64 = 300_000;
    let redis = Redis::start().await;
    let home = Home::on_redis(store, redis.port)?.quick().with("ROCKET_BATCH__CHUNK_SIZE", "5");
    let web = home.start_as("web").await?;
    let batch = web.post(&json!({ "quantity": QUANTITY, "batchSize": 10_000 })).await?;
    let progress = web.until(batch, |progress| !progress["waitingFor"].is_null()).await?;
    assert_eq!(progress["waitingFor"], "workers", "no worker was ever started");
    let mut worker = home.start_as("worker").await?;
    web.until(batch, |progress| progress["active"] == 2 && progress["waitingFor"].is_null()).await?;
    let listed =
        until_listed(&web, Duration::from_secs(12), |listed| listed.len() == 2 && listed[1]["activeJobs"] == 2).await?;
    let roles: Vec<_> = listed.iter().map(|worker| worker["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["web", "worker"]);
    assert!(listed[1]["lastFetchAt"].is_string() && listed[1]["memoryBytes"].as_u64() > Some(1 << 20), "{listed:?}");

    worker.kill().await?;
    let killed = Instant::now();
    let waits = |progress: &Value| progress["waitingFor"] == "workers";
    let progress = web.until(batch, waits).await?;
    let said_after = killed.elapsed();
    let mut events = Events::of(web.url(&format!("/batches/{batch}/events"))).await?;
    let event = events.next().await?.ok_or("the stream ended")?;
    assert_eq!((&event.data["waitingFor"], &progress["active"]), (&json!("workers"), &json!(2)));
    until_listed(&web, Duration::from_secs(60), |listed| listed.len() == 1).await?;
    println!("progress said so after {said_after:?}, and the worker was gone after {:?}", killed.elapsed());
    assert!(said_after < Duration::from_secs(15), "{said_after:?}");
    assert!(killed.elapsed() < Duration::from_secs(60), "{:?}", killed.elapsed());

    let second = home.start_with(&[("ROCKET_BATCH__ROLE", "worker"), ("ROCKET_BATCH__CHUNK_SIZE", "1000")]).await?;
    web.until(batch, |progress| progress["waitingFor"].is_null()).await?;
    is_complete(&web, batch, QUANTITY).await?;
    assert_eq!(workers(&web).await?.len(), 2);
    assert_eq!(second.terminate().await?.code(), Some(0));
    assert_eq!(workers(&web).await?.len(), 1, "a worker that ends is gone at once");
    assert_eq!(web.terminate().await?.code(), Some(0));
    assert_eq!(home.count("SELECT count(*) FROM rocket_batch_workers").await?, 1, "only the row of the killed one");
    Ok(())
}

#[tokio::test]
async fn a_killed_worker_of_a_sqlite_file_is_missed_and_replaced() -> TestResult {
    a_killed_worker_is_missed_and_replaced(Store::Sqlite).await
}

#[tokio::test]
async fn a_killed_worker_of_a_postgres_server_is_missed_and_replaced() -> TestResult {
    a_killed_worker_is_missed_and_replaced(Store::Postgres).await
}

/// Two processes without Redis: the one that takes over says so at its next request.
#[tokio::test]
async fn a_process_on_standby_is_listed_as_such_until_it_takes_over() -> TestResult {
    let home = Home::new()?;
    let mut first = home.start().await?;
    let second = home.start().await?;
    let standby = |of: Value| move |listed: &[Value]| listed.last().is_some_and(|last| last["standby"] == of);
    until_listed(&second, Duration::from_secs(3), standby(json!(true))).await?;

    first.kill().await?;

    until_listed(&second, Duration::from_secs(5), standby(json!(false))).await?;
    second.terminate().await?;
    Ok(())
}
