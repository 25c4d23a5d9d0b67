//! Interoperability with BullMQ for Node on the same Redis server. The plugin runs in the example
//! host, a separate process.
//!
//! ```text
//!   ../node      executes commands of a test with BullMQ's own library, Bull Board and Chromium
//!   reading.rs   Node reads our queues, follows their events, pauses them
//!   adding.rs    Node adds jobs: valid, malformed and hostile ones
//!   working.rs   Node runs our jobs, which is not supported
//!   board.rs     Bull Board shows the queues, and its retry button works
//! ```
//!
//! `tests/run` installs Node, its packages and Chromium.

mod adding;
mod board;
mod reading;
#[path = "../support/mod.rs"]
mod support;
mod working;

use std::{collections::HashSet, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    TestResult,
    host::{Home, Host, Store},
    node::Node,
    redis::Redis,
};

const GENERATE: &str = "generate-product-batch-items";
const STATUS: &str = "update-batch-status";

/// A host, its Redis server, and a Node process.
struct Fixture {
    host: Host,
    node: Node,
    home: Home,
    redis: Redis,
}

impl Fixture {
    async fn start() -> TestResult<Self> {
        Self::start_with(|home| home).await
    }

    /// Starts the host in a home that `change` has changed.
    async fn start_with(change: impl FnOnce(Home) -> Home) -> TestResult<Self> {
        let redis = Redis::start().await;
        let home = change(Home::on_redis(Store::Sqlite, redis.port)?.quick());
        let node = Node::on_redis(redis.port)?;
        Ok(Self { host: home.start().await?, node, home, redis })
    }

    /// Pauses the queue, and creates a batch whose jobs are waiting.
    async fn create_waiting_batch(&mut self, jobs: u64) -> TestResult<i64> {
        self.node.ask_queue(GENERATE, "pause", json!({})).await?;
        let batch = self.host.post(&json!({ "quantity": jobs * 100, "batchSize": 100 })).await?;
        self.node.until(GENERATE, "counts", json!({}), |counts| counts["prioritized"] == jobs).await?;
        Ok(batch)
    }

    async fn resume(&mut self) -> TestResult {
        self.node.ask_queue(GENERATE, "resume", json!({})).await.map(drop)
    }

    /// Creates a batch with one job of 1,000 items, half of which can't be written.
    async fn create_failed_batch(&self) -> TestResult<i64> {
        self.host.send(Method::POST, "/shortage/57").await?;
        let batch = self.host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
        let progress = self.host.until_finished(batch, Duration::from_secs(60)).await?;
        assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("failed"), &json!(500)));
        Ok(batch)
    }

    /// Waits until a batch is completed, and checks that every item exists once.
    async fn wait_until_complete(&self, batch: i64, quantity: u64) -> TestResult {
        let progress = self.host.until_finished(batch, Duration::from_secs(120)).await?;
        assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(quantity)));
        let items = self.host.items(batch).await?;
        let ordinals: HashSet<_> = items.iter().map(|item| item["ordinal"].as_u64()).collect();
        assert_eq!([items.len(), ordinals.len()], [usize::try_from(quantity)?; 2]);
        self.home.the_shop_has_every_item().await
    }

    /// Asserts that no attempt failed and no worker crashed.
    async fn assert_no_retries(&self) -> TestResult {
        assert_eq!(self.home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
        Ok(())
    }

    /// Waits until the queue has no unfinished job.
    async fn wait_until_idle(&mut self) -> TestResult {
        let idle = |counts: &Value| {
            ["wait", "waiting", "active", "prioritized", "delayed"]
                .iter()
                .all(|of| counts[of].as_u64().unwrap_or(0) == 0)
        };
        self.node.until(GENERATE, "counts", json!({}), idle).await.map(drop)
    }

    /// Checks that the host is ready and shuts down cleanly.
    async fn shut_down(self) -> TestResult {
        assert!(self.host.is_ready().await?);
        assert_eq!(self.host.terminate().await?.code(), Some(0));
        self.node.stop().await
    }
}

/// The id of a job in its first generation.
fn id(batch: i64, seq: u64) -> String {
    format!("b{batch}-j{seq}-g0")
}
