//! The Redis server: round trips with a deadline, over connections that are thrown away when one of them fails.
//!
//! A socket can fall silent without ever failing, and the crate then waits for it for ever. So nothing here trusts a connection: whoever
//! got no answer in time takes the idle ones with it, and the next round trip begins with a new one.

use std::{
    fmt,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bullmq::{QueueKeys, options::RedisConnectionOptions};
use deadpool_redis::{Manager, Runtime};
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _, Script, Value};
use rocket::figment::Figment;
use rocket_db_pools::{Config, Error, Pool};
use tokio::time::timeout;

use super::options;
use crate::{
    config::RedisSettings,
    queue::{QueueCounts, QueueError, Result},
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection may take to stand, and how long a small round trip may take.
pub(super) const PROMPT: Duration = Duration::from_secs(2);

/// Idle connections that are kept for round trips.
const CONNECTIONS: usize = 4;

/// Connections to the Redis server of the queues. A clone is the same pool. It opens them as they are needed.
#[derive(Clone)]
pub struct RedisPool(deadpool_redis::Pool);

/// The Redis server of the queues, for handlers of the host: `redis: Connection<BatchRedis>`. It is managed when the queues are in Redis.
///
/// ```
/// use rocket_batch::BatchRedis;
/// use rocket_db_pools::Connection;
///
/// #[rocket::get("/visits")]
/// async fn visits(mut redis: Connection<BatchRedis>) -> Option<String> {
///     let count = redis.command(&["INCR", "shop:visits"]).await.ok()?;
///     Some(count.to_string())
/// }
/// # let _ = rocket::routes![visits];
/// ```
#[derive(rocket_db_pools::Database)]
#[database("batch_redis")]
pub struct BatchRedis(RedisPool);

/// A host's way to the Redis server of the queues.
///
/// The keys that begin with the prefix of the settings, `bull:` by default, belong to the queues: read them as you like, change them
/// through the crate alone.
pub struct RedisConnection(deadpool_redis::Connection);

impl RedisConnection {
    /// Sends one command, its name first, and answers with what Redis says, as JSON.
    ///
    /// Bytes that are no UTF-8 are replaced, so this is not the way to store files.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`] if Redis did not answer, or refused.
    pub async fn command(&mut self, words: &[&str]) -> Result<serde_json::Value> {
        let mut command = Cmd::new();
        command.arg(words);
        let answer: redis::RedisResult<Value> = command.query_async(&mut *self.0).await;
        answer.map(json).map_err(|source| QueueError::Unavailable { queue: "redis".into(), source: source.into() })
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Okay => "OK".into(),
        Value::SimpleString(text) => text.into(),
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into(),
        Value::Array(values) | Value::Set(values) => values.into_iter().map(json).collect(),
        Value::Map(pairs) => pairs.into_iter().map(|(key, value)| vec![json(key), json(value)]).collect(),
        _ => serde_json::Value::Null,
    }
}

#[async_trait]
impl Pool for RedisPool {
    type Connection = RedisConnection;
    type Error = Error<deadpool_redis::PoolError>;

    /// Prepares the pool that `url` of `figment` names. It is not reached yet.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        let config: Config = figment.extract()?;
        let failed = |error| Error::Init(deadpool_redis::PoolError::Backend(error));
        let address = config.url.as_str().into_connection_info().map_err(failed)?;
        Self::to(address).map_err(failed)
    }

    async fn get(&self) -> std::result::Result<RedisConnection, Self::Error> {
        self.0.get().await.map(RedisConnection).map_err(Error::Get)
    }

    async fn close(&self) {
        self.0.close();
    }
}

impl RedisPool {
    fn to(address: ConnectionInfo) -> redis::RedisResult<Self> {
        let connection = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PROMPT))
            .set_response_timeout(Some(Duration::from_secs(10)));
        let pool = deadpool_redis::Pool::builder(Manager::new_with_config(address, connection)?)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(PROMPT))
            .create_timeout(Some(PROMPT))
            .recycle_timeout(Some(PROMPT))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with timeouts has the runtime that it asks for");
        Ok(Self(pool))
    }
}

/// Where the queues are, common to all queues of a process.
pub struct Server {
    pool: RedisPool,
    pub(super) connection: RedisConnectionOptions,
    pub(super) prefix: String,
    look: Script,
    /// Round trips that failed.
    failures: AtomicU64,
}

impl Server {
    /// Prepares the way to the server of `settings`, which have passed [`Config::check`](crate::config::Config::check). Nothing is reached
    /// yet.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`] if the settings make no address.
    pub fn new(settings: &RedisSettings) -> Result<Self> {
        bring_a_tls_provider();
        let connection = options::connection(settings);
        let address = connection.effective_url().into_connection_info();
        let pool = address.and_then(RedisPool::to).map_err(|error| unavailable("redis", error))?;
        Ok(Self {
            pool,
            connection,
            prefix: settings.prefix.clone(),
            look: Script::new(include_str!("look.lua")),
            failures: AtomicU64::new(0),
        })
    }

    /// The pool, for the host.
    #[must_use]
    pub fn database(&self) -> BatchRedis {
        BatchRedis::from(self.pool.clone())
    }

    /// Closes what is left. What comes later is an error.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// One round trip for `command`, within [`PROMPT`].
    pub(super) async fn ask<T: FromRedisValue + Send>(&self, command: Cmd) -> std::result::Result<T, BoxError> {
        self.promptly(async {
            let mut connection = self.pool.0.get().await?;
            Ok(command.query_async(&mut connection).await?)
        })
        .await
    }

    /// Where the jobs called `ids` are, in the queue of `keys`, whose rate limit allows `most` starts in a window.
    pub(super) async fn look(
        &self,
        keys: &QueueKeys,
        most: u32,
        ids: &[String],
    ) -> std::result::Result<Look, BoxError> {
        let mut call = self.look.prepare_invoke();
        call.key(keys.wait()).key(keys.active()).key(keys.prioritized()).key(keys.delayed());
        call.key(keys.completed()).key(keys.failed()).key(keys.meta()).key(keys.limiter());
        call.arg(keys.key_prefix()).arg(most).arg(ids);
        let (head, ready, states) = self
            .promptly(async {
                let mut connection = self.pool.0.get().await?;
                let answer: Vec<u64> = call.invoke_async(&mut connection).await?;
                match answer[..] {
                    [head, ready, ref states @ ..] => Ok((head, ready, states.to_vec())),
                    _ => Err("Redis answered a question about jobs with less than was asked".into()),
                }
            })
            .await?;
        Ok(Look { head, ready: ready == 1, states: states.into_iter().map(Standing::of).collect() })
    }

    /// How many round trips have failed so far. Who holds a socket that is older than the last of them had better replace it.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// How many jobs are where, in the queue of `keys`.
    pub(super) async fn count(&self, keys: &QueueKeys) -> std::result::Result<QueueCounts, BoxError> {
        let mut lengths = redis::pipe();
        lengths.llen(keys.wait()).zcard(keys.prioritized()).zcard(keys.delayed()).llen(keys.active());
        lengths.zcard(keys.completed()).zcard(keys.failed());
        self.promptly(async {
            let mut connection = self.pool.0.get().await?;
            let [wait, prioritized, delayed, active, completed, failed] = lengths.query_async(&mut connection).await?;
            Ok(QueueCounts { waiting: wait + prioritized, delayed, active, completed, failed })
        })
        .await
    }

    /// What Redis does with keys when its memory is full: `noeviction` is what a queue needs.
    async fn eviction_policy(&self) -> std::result::Result<Option<String>, BoxError> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let memory: String = self.ask(info).await?;
        let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
        Ok(policy.map(|policy| policy.trim().to_owned()))
    }

    /// Warns when Redis may throw jobs away. They come back from the ledger, but late.
    pub(super) async fn check_eviction(&self) {
        match self.eviction_policy().await {
            Ok(Some(policy)) if policy != "noeviction" => tracing::warn!(
                policy,
                "Redis may evict the queue's keys when its memory is full; set `maxmemory-policy noeviction`"
            ),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "Redis does not say what it evicts"),
        }
    }

    async fn promptly<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, BoxError>> + Send,
    ) -> std::result::Result<T, BoxError> {
        let done = timeout(PROMPT, work).await.unwrap_or_else(|_| Err(silent(PROMPT)));
        if done.is_err() {
            // Whatever befell this connection may have befallen all.
            self.failures.fetch_add(1, Ordering::SeqCst);
            self.pool.0.retain(|_, _| false);
        }
        done
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("connection", &self.connection)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What [`Server::look`] saw.
pub(super) struct Look {
    /// The lowest priority that waits; 0 when none does.
    pub head: u64,
    /// Whether a worker that asked would get a task.
    pub ready: bool,
    /// Where the jobs are, in the order in which they were asked for.
    pub states: Vec<Standing>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Absent,
    /// Waiting, delayed or active.
    Open,
    /// Completed or failed, and kept; or in no line at all. Its id is taken.
    Over,
}

impl Standing {
    const fn of(state: u64) -> Self {
        match state {
            0 => Self::Absent,
            1 => Self::Open,
            _ => Self::Over,
        }
    }
}

pub(super) fn silent(limit: Duration) -> BoxError {
    format!("no answer within {limit:?}").into()
}

pub(super) fn unavailable(queue: &str, source: impl Into<BoxError>) -> QueueError {
    QueueError::Unavailable { queue: queue.to_owned(), source: source.into() }
}

/// `rediss://` panics when two libraries of the host brought a provider each, and none was chosen.
fn bring_a_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // An error says that somebody else was quicker, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
    });
}
