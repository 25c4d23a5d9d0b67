//! Node works our jobs. It is not supported: it can't make items. What it did is made good.

use serde_json::json;

use crate::{GENERATE, Stage, TestResult, node::Node};

/// It completes what it did not do. The feeder finds these jobs finished in the queue and open in
/// the ledger.
#[tokio::test]
async fn what_a_node_worker_only_said_to_have_done_is_done() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(40).await?;
    stage.node.of(GENERATE, "work", json!({ "most": 15, "concurrency": 3 })).await?;

    stage.resume().await?;
    let some = |taken: &serde_json::Value| taken.as_array().is_some_and(|taken| taken.len() >= 5);
    let taken = stage.node.until(GENERATE, "taken", json!({}), some).await?;
    stage.node.of(GENERATE, "leave", json!({})).await?;

    stage.is_exact(batch, 4_000).await?;
    println!("Node took {taken}");
    stage.is_idle().await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}

/// It dies with jobs in its hands, which are found when their locks have run out.
#[tokio::test]
async fn what_a_node_worker_died_with_is_done() -> TestResult {
    let mut stage = Stage::set().await?;
    let batch = stage.waiting(40).await?;
    let mut other = Node::start(stage.redis.port)?;
    other.of(GENERATE, "work", json!({ "hold": true, "concurrency": 5 })).await?;

    stage.resume().await?;
    let some = |taken: &serde_json::Value| taken.as_array().is_some_and(|taken| !taken.is_empty());
    let taken = other.until(GENERATE, "taken", json!({}), some).await?;
    other.kill().await?;

    stage.is_exact(batch, 4_000).await?;
    println!("Node died with {taken}");
    stage.is_idle().await?;
    stage.nothing_was_spent().await?;
    stage.ends_well().await
}
