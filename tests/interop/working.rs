//! Node runs our jobs, which is not supported, because it can't create items. They run again.

use serde_json::json;

use crate::{Fixture, GENERATE, TestResult, support::node::Node};

/// The worker completes jobs without running them. The feeder finds them finished in the queue and
/// open in the ledger.
#[tokio::test]
async fn jobs_that_a_node_worker_completes_falsely_run_again() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(40).await?;
    fixture.node.ask_queue(GENERATE, "work", json!({ "max": 15, "concurrency": 3 })).await?;

    fixture.resume().await?;
    let some = |taken: &serde_json::Value| taken.as_array().is_some_and(|taken| taken.len() >= 5);
    let taken = fixture.node.until(GENERATE, "taken", json!({}), some).await?;
    fixture.node.ask_queue(GENERATE, "leave", json!({})).await?;

    fixture.wait_until_complete(batch, 4_000).await?;
    println!("Node took {taken}");
    fixture.wait_until_idle().await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}

/// The worker dies with active jobs, which become available when their locks expire.
#[tokio::test]
async fn jobs_of_a_killed_node_worker_run_again() -> TestResult {
    let mut fixture = Fixture::start().await?;
    let batch = fixture.create_waiting_batch(40).await?;
    let mut other = Node::on_redis(fixture.redis.port)?;
    other.ask_queue(GENERATE, "work", json!({ "hold": true, "concurrency": 5 })).await?;

    fixture.resume().await?;
    let some = |taken: &serde_json::Value| taken.as_array().is_some_and(|taken| !taken.is_empty());
    let taken = other.until(GENERATE, "taken", json!({}), some).await?;
    other.kill().await?;

    fixture.wait_until_complete(batch, 4_000).await?;
    println!("Node died with {taken}");
    fixture.wait_until_idle().await?;
    fixture.assert_no_retries().await?;
    fixture.shut_down().await
}
