//! Bull Board, as people use it: both queues, a failed job with its reason and its log, and the
//! button that runs it again.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    GENERATE, STATUS, Stage, TestResult,
    host::{Home, Store},
    id,
    node::Node,
    server::Redis,
};

/// Opens the board of both queues in a browser.
async fn board(node: &mut Node) -> TestResult<String> {
    let url = node.ask("board", json!({ "queues": [GENERATE, STATUS] })).await?;
    Ok(url.as_str().ok_or("no address")?.to_owned())
}

async fn browse(node: &mut Node, url: String) -> TestResult {
    node.ask("browse", json!({ "url": url })).await.map(drop)
}

async fn says(node: &mut Node, text: &str) -> TestResult {
    node.ask("until", json!({ "text": text })).await.map(drop)
}

async fn press(node: &mut Node, name: &str) -> TestResult {
    node.ask("click", json!({ "text": name })).await.map(drop)
}

/// With `DOCS=1` it makes the picture of the README.
#[tokio::test]
async fn bull_board_shows_both_queues_and_why_a_job_failed() -> TestResult {
    let mut stage = Stage::set().await?;
    let done = stage.host.post(&json!({ "quantity": 500 })).await?;
    stage.is_exact(done, 500).await?;
    let batch = stage.failed().await?;
    let url = board(&mut stage.node).await?;

    browse(&mut stage.node, format!("{url}/")).await?;
    says(&mut stage.node, GENERATE).await?;
    says(&mut stage.node, STATUS).await?;
    browse(&mut stage.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    says(&mut stage.node, &id(batch, 0)).await?;
    press(&mut stage.node, "Error").await?;
    says(&mut stage.node, "500 items could not be written: out of labels at 57").await?;
    press(&mut stage.node, "Logs").await?;
    says(&mut stage.node, "Attempt 3 of 3 failed").await?;

    if std::env::var_os("DOCS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bull-board.png");
        stage.node.ask("picture", json!({ "file": file })).await?;
    }
    stage.ends_well().await
}

/// There are labels again, and somebody presses the button.
async fn the_retry_button_is_a_retry(store: Store) -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(store, redis.port)?.quick();
    let (host, node) = (home.start().await?, Node::start(redis.port)?);
    let mut stage = Stage { host, node, home, redis };
    let batch = stage.failed().await?;
    stage.host.until_the_shop_was_told(batch).await?;
    let url = board(&mut stage.node).await?;
    browse(&mut stage.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    says(&mut stage.node, &id(batch, 0)).await?;

    // Still out of labels: one attempt more, and it is as it was.
    press(&mut stage.node, "Retry").await?;
    press(&mut stage.node, "Confirm").await?;
    let again = json!({ "job": id(batch, 0) });
    stage
        .node
        .until(GENERATE, "job", again.clone(), |job| job["attemptsMade"] == 4 && job["state"] == "failed")
        .await?;
    stage.host.until(batch, |progress| progress["status"] == "failed" && progress["failed"] == 1).await?;
    let rounds = "SELECT round FROM batch_batches";
    until(&stage, rounds, 2).await?;
    assert_eq!(stage.home.count("SELECT attempts FROM batch_jobs").await?, 4);
    assert_eq!(stage.home.count("SELECT count(*) FROM batch_items").await?, 500);

    stage.host.send(Method::DELETE, "/shortage").await?;
    browse(&mut stage.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    says(&mut stage.node, &id(batch, 0)).await?;
    press(&mut stage.node, "Retry").await?;
    press(&mut stage.node, "Confirm").await?;

    stage.host.until(batch, |progress| progress["status"] == "completed").await?;
    stage.is_exact(batch, 1_000).await?;
    until(&stage, rounds, 3).await?;
    let states = "SELECT count(*) FROM batch_jobs WHERE state = 'completed' AND generation = 0 AND error IS NULL";
    assert_eq!(stage.home.count(states).await?, 1);
    let job = stage.node.until(GENERATE, "job", again, |job| job["state"] == "completed").await?;
    assert_eq!(job["attemptsMade"], 5);
    let failed = stage.host.get(&format!("/batches/{batch}/failed-jobs")).await?;
    assert_eq!(failed["items"], json!([]));
    stage.ends_well().await
}

async fn until(stage: &Stage, sql: &str, count: i64) -> TestResult {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while stage.home.count(sql).await? != count {
        assert!(tokio::time::Instant::now() < end, "{sql}: still not {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn the_retry_button_of_bull_board_is_a_retry_in_sqlite() -> TestResult {
    the_retry_button_is_a_retry(Store::Sqlite).await
}

#[tokio::test]
async fn the_retry_button_of_bull_board_is_a_retry_in_postgres() -> TestResult {
    the_retry_button_is_a_retry(Store::Postgres).await
}

/// The process is killed when the ledger has the failure and the queue has not. The queue hands the
/// job out again, and that is no retry; the button then is one.
#[tokio::test]
async fn a_crash_before_the_acknowledgement_is_not_taken_for_the_button() -> TestResult {
    let mut stage = Stage::set_in(|home| home.with("ROCKET_BATCH__GENERATE__ATTEMPTS", "1")).await?;
    stage.host.terminate().await?;
    stage.host = stage.home.start_at(Some("before-acknowledge")).await?;
    stage.host.send(Method::POST, "/shortage/57").await?;
    let batch = stage.host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
    stage.host.until_it_says("test point before-acknowledge reached").await?;
    stage.host.kill().await?;

    // There are labels now, so a job that was revived would be completed.
    stage.host = stage.home.start().await?;
    let of = json!({ "job": id(batch, 0) });
    let job = stage.node.until(GENERATE, "job", of.clone(), |job| job["state"] == "failed").await?;
    let progress = stage.host.until_over(batch, Duration::from_secs(60)).await?;

    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("failed"), &json!(500)));
    assert_eq!(job["failedReason"], "500 items could not be written: out of labels at 57");
    assert_eq!(stage.home.count("SELECT attempts * 10 + epoch FROM batch_jobs").await?, 11);
    let url = board(&mut stage.node).await?;
    // The very call that the button makes.
    let call = format!("{url}/api/queues/{GENERATE}/{}/retry", id(batch, 0));
    let answer = reqwest::Client::new().put(call).send().await?;
    assert!(answer.status().is_success(), "{answer:?}");
    stage.host.until(batch, |progress| progress["status"] == "completed").await?;
    stage.is_exact(batch, 1_000).await?;
    stage.ends_well().await
}

/// Its batch was cancelled meanwhile, or its job was recreated: the button changes nothing.
#[tokio::test]
async fn the_button_does_not_revive_what_is_of_the_past() -> TestResult {
    let mut stage = Stage::set().await?;
    let recreated = stage.failed().await?;
    stage.host.send(Method::DELETE, "/shortage").await?;
    stage.host.send(Method::POST, &format!("/batches/{recreated}/retry")).await?;
    stage.host.until(recreated, |progress| progress["status"] == "completed").await?;
    let before = stage.host.get(&format!("/batches/{recreated}")).await?;
    let url = board(&mut stage.node).await?;

    let call = format!("{url}/api/queues/{GENERATE}/{}/retry", id(recreated, 0));
    let answer = reqwest::Client::new().put(call).send().await?;
    assert!(answer.status().is_success(), "{answer:?}");
    let of = json!({ "job": id(recreated, 0) });
    stage.node.until(GENERATE, "job", of, |job| job["state"] == "completed").await?;

    assert_eq!(stage.host.get(&format!("/batches/{recreated}")).await?, before);
    stage.is_exact(recreated, 1_000).await?;
    stage.ends_well().await
}
