//! Connections to Redis: a pool that is thrown away and made anew when Redis is elsewhere, and a
//! host's own way to it.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_redis::{Manager, Runtime};
use redis::{AsyncConnectionConfig, Client, Cmd, Value};
use rocket::figment::Figment;
use rocket_db_pools::{Config, Error, Pool};

use super::server::PROMPT;
use crate::queue::{QueueError, Result};

/// Idle connections that are kept for round trips.
const CONNECTIONS: usize = 4;

/// Connections to the Redis server of the queues. A clone is the same pool. It opens them as they
/// are needed, and where Sentinels or the nodes of a cluster name another master, it opens them
/// there.
#[derive(Clone)]
pub struct RedisPool(Arc<RwLock<deadpool_redis::Pool>>);

/// The Redis server of the queues, for handlers of the host: `redis: Connection<BatchRedis>`. It is
/// managed when the queues are in Redis.
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
/// The keys that begin with the prefix of the settings, `bull:` by default, belong to the queues:
/// read them as you like, change them through the crate alone.
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
        let client = Client::open(config.url).map_err(failed)?;
        Self::to(&client).map_err(failed)
    }

    async fn get(&self) -> std::result::Result<RedisConnection, Self::Error> {
        self.now().get().await.map(RedisConnection).map_err(Error::Get)
    }

    async fn close(&self) {
        self.now().close();
    }
}

impl RedisPool {
    pub(super) fn to(client: &Client) -> redis::RedisResult<Self> {
        Ok(Self(Arc::new(RwLock::new(pool_to(client)?))))
    }

    /// One that has to [turn](Self::turn_to) to a server before it is of any use.
    pub(super) fn nowhere() -> redis::RedisResult<Self> {
        Self::to(&Client::open(("127.0.0.1", 0))?)
    }

    /// The pool of the server that counts now.
    pub(super) fn now(&self) -> deadpool_redis::Pool {
        self.0.read().expect("nobody panics with it").clone()
    }

    /// From here on connections are to another server. Those that are in use end with it.
    pub(super) fn turn_to(&self, client: &Client) -> redis::RedisResult<()> {
        let new = pool_to(client)?;
        let mut pool = self.0.write().expect("nobody panics with it");
        if !pool.is_closed() {
            std::mem::replace(&mut *pool, new).close();
        }
        Ok(())
    }
}

fn pool_to(client: &Client) -> redis::RedisResult<deadpool_redis::Pool> {
    let address = client.get_connection_info().clone();
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
    Ok(pool)
}
