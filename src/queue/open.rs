//! Opens the two queues of a process: in Redis if a Redis server is configured, in the process
//! otherwise.

use std::sync::Arc;

use super::{contract::Queue, local::LocalQueue};
use crate::config::{Config, QueueSettings};

/// The queue names that BullMQ's tools show.
const GENERATE: &str = "generate-product-batch-items";
const STATUS: &str = "update-batch-status";

/// Both queues, and the server that they share.
pub(crate) struct Queues {
    pub generate: Arc<dyn Queue>,
    pub status: Arc<dyn Queue>,
    #[cfg(feature = "redis")]
    server: Option<Arc<super::bullmq::Server>>,
}

impl Queues {
    /// Creates queues in this process.
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
    /// Creates the queues. `config` has passed [`Config::check`], which rejects a Redis host
    /// without the feature `redis`.
    #[expect(clippy::unused_async, reason = "the version with the feature `redis` awaits Redis")]
    pub async fn open(config: &Config) -> Result<Self, String> {
        Ok(Self::local(config))
    }

    /// Does nothing, since there is no server to disconnect from.
    #[expect(clippy::unused_async, reason = "the version with the feature `redis` awaits Redis")]
    pub async fn close(&self) {}
}

#[cfg(feature = "redis")]
impl Queues {
    /// Opens the queues. `config` has passed [`Config::check`].
    ///
    /// # Errors
    ///
    /// A message for the operator, if Redis can't be reached or refuses access.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let Some(server) = config.redis.address_for_messages() else { return Ok(Self::local(config)) };
        Self::in_redis(config).await.map_err(|error| {
            let causes = crate::domain::error_chain(&error);
            format!("{server} can't be used (see `batch.redis`, REDIS_HOST, REDIS_PASSWORD): {causes}")
        })
    }

    async fn in_redis(config: &Config) -> super::contract::Result<Self> {
        use super::bullmq::{BullQueue, Server};

        let server = Arc::new(Server::new(&config.redis)?);
        Ok(Self {
            generate: Arc::new(BullQueue::open(GENERATE, &config.generate, server.clone()).await?),
            status: Arc::new(BullQueue::open(STATUS, &config.status, server.clone()).await?),
            server: Some(server),
        })
    }

    /// Returns the connection pool for handlers of the host, if the queues are in Redis.
    pub fn redis(&self) -> Option<super::bullmq::BatchRedis> {
        self.server.as_ref().map(|server| server.database())
    }

    /// Closes the shared connections. Call it after both queues have been drained.
    pub async fn close(&self) {
        if let Some(server) = &self.server {
            server.close().await;
        }
    }
}
