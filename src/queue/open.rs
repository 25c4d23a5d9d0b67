//! The two queues of a process: in Redis where one is set, in the process otherwise.

use std::sync::Arc;

use super::{Queue, local::LocalQueue};
use crate::config::{Config, QueueSettings};

/// Both queues, and what they share.
pub(crate) struct Queues {
    pub generate: Arc<dyn Queue>,
    pub status: Arc<dyn Queue>,
    #[cfg(feature = "redis")]
    server: Option<Arc<super::bullmq::Server>>,
}

/// The names under which BullMQ's tools find them.
const GENERATE: &str = "generate-product-batch-items";
const STATUS: &str = "update-batch-status";

impl Queues {
    /// Queues in this process.
    fn local(config: &Config) -> Self {
        let queue = |name, settings: &QueueSettings| Arc::new(LocalQueue::new(name, settings));
        Self {
            generate: queue(GENERATE, &config.generate),
            status: queue(STATUS, &config.status),
            #[cfg(feature = "redis")]
            server: None,
        }
    }
}

#[cfg(not(feature = "redis"))]
impl Queues {
    /// Makes the queues; `config` has passed [`Config::check`], which wants the feature `redis` for
    /// a host of Redis.
    #[expect(clippy::unused_async, reason = "its twin below waits for Redis")]
    pub async fn open(config: &Config) -> Result<Self, String> {
        Ok(Self::local(config))
    }

    /// There is nothing to close.
    #[expect(clippy::unused_async, reason = "its twin below waits for Redis")]
    pub async fn close(&self) {}
}

#[cfg(feature = "redis")]
impl Queues {
    /// Makes the queues; `config` has passed [`Config::check`].
    ///
    /// # Errors
    ///
    /// What to tell the operator, if Redis can't be reached or refuses.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let Some(place) = config.redis.address_for_messages() else { return Ok(Self::local(config)) };
        Self::in_redis(config).await.map_err(|error| {
            let why = crate::domain::error_chain(&error);
            format!("{place} can't be used (see `batch.redis`, REDIS_HOST, REDIS_PASSWORD): {why}")
        })
    }

    async fn in_redis(config: &Config) -> super::Result<Self> {
        use super::bullmq::{BullQueue, Server};

        let server = Arc::new(Server::new(&config.redis)?);
        Ok(Self {
            generate: Arc::new(BullQueue::open(GENERATE, &config.generate, server.clone()).await?),
            status: Arc::new(BullQueue::open(STATUS, &config.status, server.clone()).await?),
            server: Some(server),
        })
    }

    /// Redis, for the host, where the queues are in one.
    pub fn redis(&self) -> Option<super::bullmq::BatchRedis> {
        self.server.as_ref().map(|server| server.database())
    }

    /// Closes what the queues share, when both have been drained.
    pub async fn close(&self) {
        if let Some(server) = &self.server {
            server.close().await;
        }
    }
}
