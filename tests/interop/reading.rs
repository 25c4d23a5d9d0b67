//! Node reads.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    GENERATE, STATUS, Stage, TestResult,
    host::{Home, Store},
    id,
    node::Node,
    server::Redis,
};

#[tokio::test]
async fn a_node_queue_reads_what_waits_and_what_was_done() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(5).await?;

    let waiting = stage.node.of(GENERATE, "jobs", json!({ "states": ["prioritized"] })).await?;
    let first = stage.node.of(GENERATE, "job", json!({ "job": id(batch, 0) })).await?;
    stage.resume().await?;
    stage.is_exact(batch, 500).await?;
    stage.is_idle().await?;

    let data = json!({ "v": 1, "batch": batch, "seq": 0, "generation": 0, "first": 0, "quantity": 100 });
    assert_eq!(waiting.as_array().map(Vec::len), Some(5));
    assert_eq!((&first["name"], &first["data"], &first["state"]), (&json!("generate"), &data, &json!("prioritized")));
    assert_eq!((&first["opts"]["attempts"], &first["priority"]), (&json!(3), &json!(1)));
    let counts = stage.node.of(GENERATE, "counts", json!({})).await?;
    assert_eq!((&counts["completed"], &counts["failed"]), (&json!(5), &json!(0)));
    let done = stage.node.until(GENERATE, "job", json!({ "job": id(batch, 4) }), |job| job["progress"] == 100).await?;
    assert_eq!((&done["state"], &done["attemptsMade"]), (&json!("completed"), &json!(1)));
    let ended = stage.node.of(STATUS, "job", json!({ "job": format!("b{batch}-end-r0") })).await?;
    assert_eq!((&ended["state"], &ended["data"]["round"]), (&json!("completed"), &json!(0)));
    stage.ends_well().await
}

#[tokio::test]
async fn a_node_queue_counts_the_workers() -> TestResult {
    let mut stage = Stage::set().await?;

    for queue in [GENERATE, STATUS] {
        let workers = stage.node.of(queue, "workers", json!({})).await?;
        let name = workers[0].as_str().ok_or("there is none")?;
        assert!(workers.as_array().is_some_and(|all| all.len() == 1), "{workers}");
        assert!(name.contains(":w:rocket_batch-"), "{name}");
    }
    stage.ends_well().await
}

#[tokio::test]
async fn a_node_queue_reads_why_a_job_failed() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.failed().await?;

    let of = json!({ "job": id(batch, 0) });
    // Progress and log are written beside the attempt.
    let told = |job: &Value| job["state"] == "failed" && job["progress"] == 50;
    let job = stage.node.until(GENERATE, "job", of.clone(), told).await?;
    let failed = stage.node.of(GENERATE, "jobs", json!({ "states": ["failed"] })).await?;
    let logs =
        stage.node.until(GENERATE, "logs", of, |logs| logs.as_array().is_some_and(|lines| lines.len() == 4)).await?;

    let because = "500 items could not be written: out of labels at 57";
    assert_eq!(
        (&job["failedReason"], &job["attemptsMade"], &job["progress"]),
        (&json!(because), &json!(3), &json!(50))
    );
    assert_eq!((failed.as_array().map(Vec::len), &failed[0]["id"]), (Some(1), &job["id"]));
    let last = logs.as_array().and_then(|lines| lines.last()).and_then(Value::as_str).ok_or("no line")?;
    assert_eq!(last, format!("Attempt 3 of 3 failed: {because}; failed chunks: items 0 to 499"));
    stage.ends_well().await
}

#[tokio::test]
async fn node_queue_events_see_a_batch_to_its_end() -> TestResult {
    let mut stage = Stage::set().await?;
    for queue in [GENERATE, STATUS] {
        stage.node.of(queue, "listen", json!({})).await?;
    }

    let batch = stage.host.post(&json!({ "quantity": 2_000, "batchSize": 1_000 })).await?;
    stage.is_exact(batch, 2_000).await?;
    let failed = stage.failed().await?;
    let end = format!("b{failed}-end-r0");
    let over = |seen: &Value| !events(seen, &end).is_empty() && events(seen, &end).last() == Some(&"completed");
    let seen = stage.node.until(GENERATE, "seen", json!({}), over).await?;

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
    stage.ends_well().await
}

/// What was seen of one job, in order.
fn events<'a>(seen: &'a Value, job: &str) -> Vec<&'a str> {
    let of_job = seen.as_array().into_iter().flatten().filter(|event| event["jobId"] == job);
    of_job.filter_map(|event| event["event"].as_str()).collect()
}

/// For a few rounds of the feeder and checks of the supervisor, and through a restart.
#[tokio::test]
async fn while_node_pauses_the_queue_no_job_begins_and_nothing_breaks() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(20).await?;

    sleep(Duration::from_secs(5)).await;

    assert!(stage.host.is_ready().await?, "a pause is nobody's illness");
    assert_eq!(stage.host.progress(batch).await?["waiting"], 20);
    assert!(!stage.host.said_any("is replaced"), "the worker was taken to be ill");
    let counts = stage.node.of(GENERATE, "counts", json!({})).await?;
    assert_eq!((&counts["prioritized"], &counts["active"]), (&json!(20), &json!(0)), "{counts}");
    assert_eq!(stage.host.terminate().await?.code(), Some(0));
    stage.host = stage.home.start().await?;
    assert_eq!(stage.node.of(GENERATE, "paused", json!({})).await?, json!(true));
    assert_eq!(stage.host.progress(batch).await?["waiting"], 20);

    stage.resume().await?;

    stage.is_exact(batch, 2_000).await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

#[tokio::test]
async fn a_pause_from_node_in_the_middle_lets_running_jobs_end() -> TestResult {
    const QUANTITY: u64 = 100_000;
    let mut stage = Stage::set().await?;
    let batch = stage.host.post(&json!({ "quantity": QUANTITY, "batchSize": 500 })).await?;
    stage.host.until(batch, |progress| progress["completed"].as_u64() > Some(5)).await?;

    stage.node.of(GENERATE, "pause", json!({})).await?;
    // What was fetched and is not begun yet, the queue alone knows.
    stage.node.until(GENERATE, "counts", json!({}), |counts| counts["active"] == 0).await?;
    let held = stage.host.until(batch, |progress| progress["active"] == 0).await?;
    sleep(Duration::from_secs(3)).await;

    let later = stage.host.progress(batch).await?;
    assert_eq!((&later["completed"], &later["itemsCreated"]), (&held["completed"], &held["itemsCreated"]));
    assert!(later["itemsCreated"].as_u64() < Some(QUANTITY), "the pause came too late");
    stage.resume().await?;
    stage.is_exact(batch, QUANTITY).await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

/// The ledger's tables are the host's to read, from wherever it likes.
#[tokio::test]
async fn a_node_program_reads_the_items_from_postgres() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?.quick();
    let (host, mut node) = (home.start().await?, Node::start(redis.port)?);
    let batch = host.post(&json!({ "quantity": 300 })).await?;
    host.until_over(batch, Duration::from_secs(60)).await?;

    let (url, schema) = home.postgres().ok_or("it is in PostgreSQL")?;
    let sql = format!(
        "SELECT count(*)::int AS items, count(DISTINCT code)::int AS codes FROM {schema}.items WHERE batch = $1"
    );
    let rows = node.ask("sql", json!({ "url": url, "sql": sql, "values": [batch] })).await?;

    assert_eq!(rows, json!([{ "items": 300, "codes": 300 }]));
    assert_eq!(host.terminate().await?.code(), Some(0));
    Ok(())
}
