//! The queues in Redis: their harness, and what is true of them alone.

use std::sync::Arc;

use rocket_batch::{
    config::{QueueSettings, RedisSettings},
    queue::{
        Queue,
        bullmq::{BullQueue, Server},
    },
};

use tokio::sync::OnceCell;

use crate::{
    redis::{self, Redis},
    suite::Harness,
};

/// The server that all tests of a run may share, as `host:port`.
const SHARED: &str = "ROCKET_BATCH_TEST_REDIS";

/// Queues with a prefix of their own on the shared server, or on a server of their own, which ends with them.
#[derive(Default)]
struct OfTheirOwn(OnceCell<Redis>);

impl OfTheirOwn {
    async fn redis(&self) -> RedisSettings {
        let prefix = format!("test-{:016x}", fastrand::u64(..));
        match std::env::var(SHARED) {
            Ok(address) => {
                let (host, port) = address.split_once(':').expect("it reads host:port");
                redis::settings(host, port.parse().expect("it reads host:port"), &prefix)
            }
            Err(_) => self.0.get_or_init(Redis::start).await.settings(&prefix),
        }
    }
}

impl Harness for OfTheirOwn {
    async fn queue(&self, settings: QueueSettings) -> Arc<dyn Queue> {
        Arc::new(open(&self.redis().await, &settings).await)
    }
}

async fn open(redis: &RedisSettings, settings: &QueueSettings) -> BullQueue {
    let server = Arc::new(Server::new(redis).expect("the settings make an address"));
    BullQueue::open("test", settings, server).await.expect("Redis answers")
}

every_queue!(OfTheirOwn::default());
