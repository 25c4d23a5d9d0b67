//! Opens the two queues of a process: in Redis if a Redis server is configured, in the process
//! otherwise.

use std::sync::Arc;

use super::{contract::Queue, local::LocalQueue};
use crate::config::{Config, QueueSettings};
#[cfg(feature = "redis")]
use crate::{config::RedisSettings, queue::contract::QueueError};

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
    pub async fn open(config: &Config, _ledger: &str) -> Result<Self, String> {
        Ok(Self::local(config))
    }

    /// Does nothing, since there is no server to disconnect from.
    #[expect(clippy::unused_async, reason = "the version with the feature `redis` awaits Redis")]
    pub async fn close(&self) {}
}

#[cfg(feature = "redis")]
impl Queues {
    /// Opens the queues of the ledger with this identity. `config` has passed [`Config::check`].
    ///
    /// # Errors
    ///
    /// A message for the operator, if Redis can't be reached, refuses access, or has the queues of
    /// another ledger.
    pub async fn open(config: &Config, ledger: &str) -> Result<Self, String> {
        let Some(server) = config.redis.address_for_messages() else { return Ok(Self::local(config)) };
        Self::in_redis(config, ledger).await.map_err(|error| match error {
            QueueError::OtherLedger { .. } => other_ledger(&server, &config.redis),
            error => {
                let causes = crate::domain::error_chain(&error);
                format!("{server} can't be used (see `batch.redis`, REDIS_HOST, REDIS_PASSWORD): {causes}")
            }
        })
    }

    async fn in_redis(config: &Config, ledger: &str) -> super::contract::Result<Self> {
        use super::bullmq::{BullQueue, Server};

        let server = Arc::new(Server::new(&config.redis)?.for_ledger(ledger));
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

/// The message for a prefix that belongs to another ledger, with both ways out.
#[cfg(feature = "redis")]
fn other_ledger(server: &str, redis: &RedisSettings) -> String {
    let RedisSettings { prefix, port, db, .. } = redis;
    let address = redis.host().map(|host| format!(" -h {host} -p {port} -n {db}")).unwrap_or_default();
    let example = prefix.replacen("bull", "shop", 1);
    let example = if example == *prefix { format!("{prefix}-2") } else { example };
    format!(
        "{server} has the queues of another ledger under the prefix `{prefix}`, and two ledgers must not share them. \
         Set \
         another prefix: `batch.redis.prefix`, or ROCKET_BATCH__REDIS__PREFIX={example}. If the other ledger no longer \
         exists, for example because its database was deleted, delete its queues: for q in {GENERATE} {STATUS} \
         rocket_batch; do redis-cli{address} --scan --pattern \"{prefix}:$q:*\"; done | xargs redis-cli{address} DEL"
    )
}
