//! The real BullMQ of Node beside us on one Redis server: who reads our queues, who adds to them,
//! who works them, and who looks at them with Bull Board. The plugin is the example host, a process
//! of its own.
//!
//! ```text
//!   agent.js     BullMQ's Queue, QueueEvents, Worker and FlowProducer, at the command of a test; node.rs talks to it
//!   board.js     Bull Board;  browser.js  Chromium without a window
//!   reading.rs   Node reads our queues, follows their events, pauses them
//!   adding.rs    Node adds jobs: good ones, wrong ones, hostile ones
//!   working.rs   Node works our jobs, which it should not
//!   board.rs     Bull Board shows them, and its button puts a failed one back
//! ```
//!
//! Node, its packages and Chromium are installed by `tests/run`.

mod adding;
mod board;
#[path = "../life/host.rs"]
#[expect(dead_code, reason = "the life tests use the rest")]
mod host;
mod node;
mod reading;
#[path = "../queue/server.rs"]
#[expect(dead_code, reason = "the queue tests use the rest")]
mod server;
#[path = "../servers/postgres.rs"]
mod servers;
mod working;

use std::{collections::HashSet, error::Error, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    host::{Home, Host, Store},
    node::Node,
    server::Redis,
};

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

const GENERATE: &str = "generate-product-batch-items";
const STATUS: &str = "update-batch-status";

/// A host, its Redis server, and Node beside it.
struct Stage {
    host: Host,
    node: Node,
    home: Home,
    redis: Redis,
}

impl Stage {
    async fn set() -> TestResult<Self> {
        Self::set_in(|home| home).await
    }

    /// The same with a home that `furnish` has changed.
    async fn set_in(furnish: impl FnOnce(Home) -> Home) -> TestResult<Self> {
        let redis = Redis::start().await;
        let home = furnish(Home::on_redis(Store::Sqlite, redis.port)?.quick());
        let node = Node::start(redis.port)?;
        Ok(Self { host: home.start().await?, node, home, redis })
    }

    /// A batch whose jobs wait in a queue that is paused.
    async fn waiting(&mut self, jobs: u64) -> TestResult<i64> {
        self.node.of(GENERATE, "pause", json!({})).await?;
        let batch = self.host.post(&json!({ "quantity": jobs * 100, "batchSize": 100 })).await?;
        self.node.until(GENERATE, "counts", json!({}), |counts| counts["prioritized"] == jobs).await?;
        Ok(batch)
    }

    async fn resume(&mut self) -> TestResult {
        self.node.of(GENERATE, "resume", json!({})).await.map(drop)
    }

    /// A batch of one job of 1,000 items, the half of which can't be written.
    async fn failed(&self) -> TestResult<i64> {
        self.host.send(Method::POST, "/shortage/57").await?;
        let batch = self.host.post(&json!({ "quantity": 1_000, "batchSize": 1_000 })).await?;
        let progress = self.host.until_over(batch, Duration::from_secs(60)).await?;
        assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("failed"), &json!(500)));
        Ok(batch)
    }

    /// Waits for the end of a batch: every item is there, once.
    async fn is_exact(&self, batch: i64, quantity: u64) -> TestResult {
        let progress = self.host.until_over(batch, Duration::from_secs(120)).await?;
        assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(quantity)));
        let items = self.host.items(batch).await?;
        let ordinals: HashSet<_> = items.iter().map(|item| item["ordinal"].as_u64()).collect();
        assert_eq!([items.len(), ordinals.len()], [usize::try_from(quantity)?; 2]);
        self.home.the_shop_has_every_item().await
    }

    /// Nobody lost a worker, and nothing had to be tried again.
    async fn nothing_was_spent(&self) -> TestResult {
        assert_eq!(self.home.count("SELECT sum(attempts) + sum(crashes) FROM batch_jobs").await?, 0);
        Ok(())
    }

    /// Everything in the queue ends.
    async fn is_idle(&mut self) -> TestResult {
        let idle = |counts: &Value| {
            ["wait", "waiting", "active", "prioritized", "delayed"]
                .iter()
                .all(|of| counts[of].as_u64().unwrap_or(0) == 0)
        };
        self.node.until(GENERATE, "counts", json!({}), idle).await.map(drop)
    }

    /// The host is as it was, and leaves when it is told to.
    async fn ends_well(self) -> TestResult {
        assert!(self.host.is_ready().await?);
        assert_eq!(self.host.terminate().await?.code(), Some(0));
        self.node.leave().await
    }
}

/// The id of a job in its first generation.
fn id(batch: i64, seq: u64) -> String {
    format!("b{batch}-j{seq}-g0")
}
