//! Node reads our queues.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Fixture, GENERATE, STATUS, id,
    support::{
        TestResult,
        host::{Home, Store},
        node::Node,
        redis::Redis,
    },
};

#[tokio::test]
async fn a_node_queue_reads_waiting_and_completed_jobs() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(5).await?;

    let waiting = fixture.node.ask_queue(GENERATE, "jobs", json!({ "states": ["prioritized"] })).await?;
    let first = fixture.node.ask_queue(GENERATE, "job", json!({ "job": id(batch, 0) })).await?;
    fixture.resume().await?;
    fixture.wait_until_complete(batch, 500).await?;
    fixture.wait_until_idle().await?;

    let ledger = first["data"]["ledger"].clone();
    assert!(ledger.as_str().is_some_and(|id| id.len() == 16), "{ledger}");
    let data =
        json!({ "v": 1, "ledger": ledger, "batch": batch, "seq": 0, "generation": 0, "first": 0, "quantity": 100 });
    assert_eq!(waiting.as_array().map(Vec::len), Some(5));
    assert_eq!((&first["name"], &first["data"], &first["state"]), (&json!("generate"), &data, &json!("prioritized")));
    assert_eq!((&first["opts"]["attempts"], &first["priority"]), (&json!(3), &json!(1)));
    let counts = fixture.node.ask_queue(GENERATE, "counts", json!({})).await?;
    assert_eq!((&counts["completed"], &counts["failed"]), (&json!(5), &json!(0)));
    let done =
        fixture.node.until(GENERATE, "job", json!({ "job": id(batch, 4) }), |job| job["progress"] == 100).await?;
    assert_eq!((&done["state"], &done["attemptsMade"]), (&json!("completed"), &json!(1)));
    let ended = fixture.node.ask_queue(STATUS, "job", json!({ "job": format!("b{batch}-end-r0") })).await?;
    assert_eq!((&ended["state"], &ended["data"]["round"]), (&json!("completed"), &json!(0)));
    fixture.shut_down().await
}

#[tokio::test]
async fn a_node_queue_lists_the_workers() -> TestResult {
    let mut fixture = Fixture::start().await?;

    for queue in [GENERATE, STATUS] {
        let workers = fixture.node.ask_queue(queue, "workers", json!({})).await?;
        let name = workers[0].as_str().ok_or("there is none")?;
        assert!(workers.as_array().is_some_and(|all| all.len() == 1), "{workers}");
        assert!(name.contains(":w:rocket_batch-"), "{name}");
    }
    fixture.shut_down().await
}

#[tokio::test]
async fn a_node_queue_reads_why_a_job_failed() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_failed_batch().await?;

    let of = json!({ "job": id(batch, 0) });
    // Progress and log are written concurrently with the attempt.
    let reported = |job: &Value| job["state"] == "failed" && job["progress"] == 50;
    let job = fixture.node.until(GENERATE, "job", of.clone(), reported).await?;
    let failed = fixture.node.ask_queue(GENERATE, "jobs", json!({ "states": ["failed"] })).await?;
    let logs =
        fixture.node.until(GENERATE, "logs", of, |logs| logs.as_array().is_some_and(|lines| lines.len() == 4)).await?;

    let reason = "500 items could not be written: out of labels at 57";
    assert_eq!((&job["failedReason"], &job["attemptsMade"], &job["progress"]), (&json!(reason), &json!(3), &json!(50)));
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["id"]), (Some(1), &job["id"]));
    let last = logs.as_array().and_then(|lines| lines.last()).and_then(Value::as_str).ok_or("no line")?;
    assert_eq!(last, format!("Attempt 3 of 3 failed: {reason}; failed chunks: items 0 to 499"));
    fixture.shut_down().await
}

#[tokio::test]
async fn node_queue_events_see_a_batch_to_its_end() -> TestResult {
    let mut fixture = Fixture::start().await?;
    for queue in [GENERATE, STATUS] {
        fixture.node.ask_queue(queue, "listen", json!({})).await?;
    }

    let batch = fixture.host.post(&json!({ "quantity": 2_000, "batchSize": 1_000 })).await?;
    fixture.wait_until_complete(batch, 2_000).await?;
    let failed = fixture.create_failed_batch().await?;
    let end = format!("b{failed}-end-r0");
    let is_finished = |seen: &Value| !events(seen, &end).is_empty() && events(seen, &end).last() == Some(&"completed");
    let seen = fixture.node.until(GENERATE, "seen", json!({}), is_finished).await?;

    for seq in 0..2 {
        let events = events(&seen, &id(batch, seq));
        assert_eq!(events.first(), Some(&"added"), "{events:?}");
        let [active, progress, completed] =
            ["active", "progress", "completed"].map(|name| events.iter().position(|event| *event == name));
        assert!(active < progress && progress.is_some() && completed.is_some() && active < completed, "{events:?}");
    }
    let events_of_failed = events(&seen, &id(failed, 0));
    assert_eq!(events_of_failed.iter().filter(|event| **event == "active").count(), 3, "{events_of_failed:?}");
    assert!(events_of_failed.contains(&"failed"), "{events_of_failed:?}");
    let failure =
        seen.as_array().into_iter().flatten().find(|event| event["event"] == "failed").ok_or("none failed")?;
    assert_eq!(failure["failedReason"], "500 items could not be written: out of labels at 57");
    fixture.shut_down().await
}

/// Returns the events of one job, in order.
fn events<'a>(seen: &'a Value, job: &str) -> Vec<&'a str> {
    let of_job = seen.as_array().into_iter().flatten().filter(|event| event["jobId"] == job);
    of_job.filter_map(|event| event["event"].as_str()).collect()
}

/// The pause lasts for several checks of the feeder and the supervisor, and through a restart.
#[tokio::test]
async fn no_job_starts_while_node_has_paused_the_queue() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(20).await?;

    sleep(Duration::from_secs(5)).await;

    assert!(fixture.host.is_ready().await?, "a pause does not affect readiness");
    assert_eq!(fixture.host.progress(batch).await?["waiting"], 20);
    assert!(!fixture.host.said_any("worker replaced"), "the worker was replaced during a pause");
    let counts = fixture.node.ask_queue(GENERATE, "counts", json!({})).await?;
    assert_eq!((&counts["prioritized"], &counts["active"]), (&json!(20), &json!(0)), "{counts}");
    assert_eq!(fixture.host.terminate().await?.code(), Some(0));
    fixture.host = fixture.home.start().await?;
    assert_eq!(fixture.node.ask_queue(GENERATE, "paused", json!({})).await?, json!(true));
    assert_eq!(fixture.host.progress(batch).await?["waiting"], 20);

    fixture.resume().await?;

    fixture.wait_until_complete(batch, 2_000).await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

#[tokio::test]
async fn a_pause_by_node_lets_running_jobs_finish() -> TestResult {
    const QUANTITY: u64 = 100_000;
    let mut fixture = Fixture::start().await?;
    let batch = fixture.host.post(&json!({ "quantity": QUANTITY, "batchSize": 500 })).await?;
    fixture.host.until(batch, |progress| progress["completed"].as_u64() > Some(5)).await?;

    fixture.node.ask_queue(GENERATE, "pause", json!({})).await?;
    // The queue counts fetched jobs as active before the ledger does.
    fixture.node.until(GENERATE, "counts", json!({}), |counts| counts["active"] == 0).await?;
    let paused = fixture.host.until(batch, |progress| progress["active"] == 0).await?;
    sleep(Duration::from_secs(3)).await;

    let later = fixture.host.progress(batch).await?;
    assert_eq!((&later["completed"], &later["itemsCreated"]), (&paused["completed"], &paused["itemsCreated"]));
    assert!(later["itemsCreated"].as_u64() < Some(QUANTITY), "the pause came too late");
    fixture.resume().await?;
    fixture.wait_until_complete(batch, QUANTITY).await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

/// Any program of the host may read the ledger's tables.
#[tokio::test]
async fn a_node_program_reads_the_items_from_postgres() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let (host, mut node) = (home.start().await?, Node::on_redis(redis.port)?);
    let batch = host.post(&json!({ "quantity": 300 })).await?;
    host.until_finished(batch, Duration::from_secs(60)).await?;

    let (url, schema) = home.postgres().ok_or("the ledger is in PostgreSQL")?;
    let sql = format!(
        "SELECT count(*)::int AS items, count(DISTINCT code)::int AS codes FROM {schema}.items WHERE batch = $1"
    );
    let rows = node.ask("sql", json!({ "url": url, "sql": sql, "values": [batch] })).await?;

    assert_eq!(rows, json!([{ "items": 300, "codes": 300 }]));
    assert_eq!(host.terminate().await?.code(), Some(0));
    Ok(())
}
