//! Bull Board in a browser: both queues, a failed job with its reason and its log, and the retry
//! button.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::{
    Fixture, GENERATE, STATUS, id,
    support::{
        TestResult,
        host::{Home, Store},
        node::Node,
        redis::Redis,
    },
};

/// Starts Bull Board for both queues, and returns its address.
async fn board(node: &mut Node) -> TestResult<String> {
    let url = node.ask("board", json!({ "queues": [GENERATE, STATUS] })).await?;
    Ok(url.as_str().ok_or("no address")?.to_owned())
}

async fn open_page(node: &mut Node, url: String) -> TestResult {
    node.ask("go", json!({ "url": url })).await.map(drop)
}

async fn wait_for_text(node: &mut Node, text: &str) -> TestResult {
    node.ask("until", json!({ "text": text })).await.map(drop)
}

async fn click(node: &mut Node, name: &str) -> TestResult {
    node.ask("click", json!({ "name": name })).await.map(drop)
}

/// The button has no name but its tooltip.
async fn click_retry(node: &mut Node) -> TestResult {
    node.ask("clickTooltip", json!({ "name": "Retry" })).await?;
    click(node, "Confirm").await
}

/// With `DOCS=1` this test takes the screenshot of the README.
#[tokio::test]
async fn bull_board_shows_both_queues_and_why_a_job_failed() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let done = fixture.host.post(&json!({ "quantity": 500 })).await?;
    fixture.wait_until_complete(done, 500).await?;
    let batch = fixture.create_failed_batch().await?;
    let url = board(&mut fixture.node).await?;

    open_page(&mut fixture.node, format!("{url}/")).await?;
    wait_for_text(&mut fixture.node, GENERATE).await?;
    wait_for_text(&mut fixture.node, STATUS).await?;
    open_page(&mut fixture.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    wait_for_text(&mut fixture.node, &id(batch, 0)).await?;
    click(&mut fixture.node, "Error").await?;
    wait_for_text(&mut fixture.node, "500 items could not be written: out of labels at 57").await?;
    click(&mut fixture.node, "Logs").await?;
    wait_for_text(&mut fixture.node, "Attempt 3 of 3 failed").await?;

    if std::env::var_os("DOCS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bull-board.png");
        fixture.node.ask("picture", json!({ "file": file })).await?;
    }
    fixture.shut_down().await
}

/// A first retry fails. After the shortage has ended, a second retry completes the job.
async fn the_retry_button_is_a_retry(store: Store) -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(store, redis.port)?.quick();
    let (host, node) = (home.start().await?, Node::on_redis(redis.port)?);
    let mut fixture = Fixture { host, node, home, redis };
    let batch = fixture.create_failed_batch().await?;
    fixture.host.until_the_hook_was_called(batch).await?;
    let url = board(&mut fixture.node).await?;
    open_page(&mut fixture.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    wait_for_text(&mut fixture.node, &id(batch, 0)).await?;

    // The shortage lasts, so the retry fails and nothing else changes.
    click_retry(&mut fixture.node).await?;
    let retried_job = json!({ "job": id(batch, 0) });
    fixture
        .node
        .until(GENERATE, "job", retried_job.clone(), |job| job["attemptsMade"] == 4 && job["state"] == "failed")
        .await?;
    fixture.host.until(batch, |progress| progress["status"] == "failed" && progress["failed"] == 1).await?;
    let rounds = "SELECT round FROM rocket_batch_batches";
    fixture.home.until(rounds, |rounds| rounds == 2).await?;
    assert_eq!(fixture.home.count("SELECT attempts FROM rocket_batch_jobs").await?, 4);
    assert_eq!(fixture.home.count("SELECT count(*) FROM rocket_batch_items").await?, 500);

    fixture.host.send(Method::DELETE, "/shortage").await?;
    open_page(&mut fixture.node, format!("{url}/queue/{GENERATE}?status=failed")).await?;
    wait_for_text(&mut fixture.node, &id(batch, 0)).await?;
    click_retry(&mut fixture.node).await?;

    fixture.host.until(batch, |progress| progress["status"] == "completed").await?;
    fixture.wait_until_complete(batch, 1_000).await?;
    fixture.home.until(rounds, |rounds| rounds == 3).await?;
    let states =
        "SELECT count(*) FROM rocket_batch_jobs WHERE state = 'completed' AND generation = 0 AND error IS NULL";
    assert_eq!(fixture.home.count(states).await?, 1);
    let job = fixture.node.until(GENERATE, "job", retried_job, |job| job["state"] == "completed").await?;
    assert_eq!(job["attemptsMade"], 5);
    let failed = fixture.host.get(&format!("/batches/{batch}/failed-jobs")).await?;
    assert_eq!(failed["items"], json!([]));
    fixture.shut_down().await
}

#[tokio::test]
async fn the_retry_button_of_bull_board_is_a_retry_in_sqlite() -> TestResult {
    the_retry_button_is_a_retry(Store::Sqlite).await
}

#[tokio::test]
async fn the_retry_button_of_bull_board_is_a_retry_in_postgres() -> TestResult {
    the_retry_button_is_a_retry(Store::Postgres).await
}

/// The process is killed after the ledger has recorded the failure and before the queue has. The
/// second delivery by the queue is not a manual retry. The button afterwards is one.
#[tokio::test]
async fn a_crash_before_the_acknowledgement_is_not_a_manual_retry() -> TestResult {
    let mut fixture = Fixture::start_with(|home| home.with("ROCKET_BATCH__GENERATE__ATTEMPTS", "1")).await?;
    fixture.host.terminate().await?;
    fixture.host = fixture.home.start_at(Some("before-acknowledge")).await?;
    fixture.host.send(Method::POST, "/shortage/57").await?;
    let batch = fixture.host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
    fixture.host.until_printed("failpoint before-acknowledge reached").await?;
    fixture.host.kill().await?;

    // The shortage has ended, so a revived job would be completed.
    fixture.host = fixture.home.start().await?;
    let of = json!({ "job": id(batch, 0) });
    let job = fixture.node.until(GENERATE, "job", of.clone(), |job| job["state"] == "failed").await?;
    let progress = fixture.host.until_finished(batch, Duration::from_secs(60)).await?;

    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("failed"), &json!(500)));
    assert_eq!(job["failedReason"], "500 items could not be written: out of labels at 57");
    assert_eq!(fixture.home.count("SELECT attempts * 10 + epoch FROM rocket_batch_jobs").await?, 11);
    let url = board(&mut fixture.node).await?;
    // The request of the button.
    let call = format!("{url}/api/queues/{GENERATE}/{}/retry", id(batch, 0));
    let answer = reqwest::Client::new().put(call).send().await?;
    assert!(answer.status().is_success(), "{answer:?}");
    fixture.host.until(batch, |progress| progress["status"] == "completed").await?;
    fixture.wait_until_complete(batch, 1_000).await?;
    fixture.shut_down().await
}

/// The button changes nothing after the job has been recreated.
#[tokio::test]
async fn the_retry_button_does_not_revive_a_recreated_job() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let recreated = fixture.create_failed_batch().await?;
    fixture.host.send(Method::DELETE, "/shortage").await?;
    fixture.host.send(Method::POST, &format!("/batches/{recreated}/retry")).await?;
    fixture.host.until(recreated, |progress| progress["status"] == "completed").await?;
    let before = fixture.host.get(&format!("/batches/{recreated}")).await?;
    let url = board(&mut fixture.node).await?;

    let call = format!("{url}/api/queues/{GENERATE}/{}/retry", id(recreated, 0));
    let answer = reqwest::Client::new().put(call).send().await?;
    assert!(answer.status().is_success(), "{answer:?}");
    let of = json!({ "job": id(recreated, 0) });
    fixture.node.until(GENERATE, "job", of, |job| job["state"] == "completed").await?;

    assert_eq!(fixture.host.get(&format!("/batches/{recreated}")).await?, before);
    fixture.wait_until_complete(recreated, 1_000).await?;
    fixture.shut_down().await
}
