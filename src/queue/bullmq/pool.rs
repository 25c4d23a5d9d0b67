//! Connections to Redis: a pool that is replaced when the master moves, and the connections for
//! handlers of the host.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_redis::{Manager, Runtime};
use redis::{AsyncConnectionConfig, Client, Cmd, Value};
use rocket::{
    Ignite, Phase, Request, Rocket, Sentinel,
    figment::Figment,
    http::Status,
    request::{FromRequest, Outcome},
};
use rocket_db_pools::{Config, Database, Error, Pool};

use super::{error::unavailable, timeouts::ROUND_TRIP_TIMEOUT};
use crate::{domain::LaunchFailed, queue::contract::Result};

/// The maximum number of connections for round trips.
const MAX_CONNECTIONS: usize = 4;

/// The timeout for a reply to a command of the host.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool of connections to the Redis server of the queues. A clone shares the same pool. It opens
/// connections on demand, and follows the master when Sentinels or the nodes of a cluster report
/// another one.
#[derive(Clone)]
pub struct RedisPool(Arc<RwLock<deadpool_redis::Pool>>);

/// The Redis server of the queues, for handlers of the host: `redis: Connection<BatchRedis>`.
/// Rocket manages it if the queues are in Redis.
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
pub struct BatchRedis(RedisPool);

#[async_trait]
impl Database for BatchRedis {
    type Pool = RedisPool;
    const NAME: &'static str = "batch_redis";

    /// Rocket's own version would tell the host to attach `BatchRedis::init()`.
    fn fetch<P: Phase>(rocket: &Rocket<P>) -> Option<&Self> {
        let database = rocket.state();
        if database.is_none() && rocket.state::<LaunchFailed>().is_none() {
            tracing::error!(
                "`BatchRedis` is used, but the queues are not in Redis; set `batch.redis.host` or REDIS_HOST, and \
                 attach \
                 the fairing of rocket_batch before the fairing that uses it"
            );
        }
        database
    }
}

impl From<RedisPool> for BatchRedis {
    fn from(pool: RedisPool) -> Self {
        Self(pool)
    }
}

impl Deref for BatchRedis {
    type Target = RedisPool;

    fn deref(&self) -> &RedisPool {
        &self.0
    }
}

impl DerefMut for BatchRedis {
    fn deref_mut(&mut self) -> &mut RedisPool {
        &mut self.0
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for &'r BatchRedis {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        BatchRedis::fetch(request.rocket()).map_or(Outcome::Error((Status::InternalServerError, ())), Outcome::Success)
    }
}

impl Sentinel for &BatchRedis {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        BatchRedis::fetch(rocket).is_none()
    }
}

/// A connection to the Redis server of the queues.
///
/// The keys that begin with the configured prefix, `bull:` by default, belong to the queues. You
/// may read them. Change them only through this crate.
pub struct RedisConnection(deadpool_redis::Connection);

impl RedisConnection {
    /// Sends one command, its name first, and returns the reply as JSON.
    ///
    /// Replaces bytes that are not UTF-8, so do not read binary data with it.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`](crate::queue::QueueError::Unavailable) if Redis did not respond,
    /// or replied with an error.
    pub async fn command(&mut self, words: &[&str]) -> Result<serde_json::Value> {
        let mut command = Cmd::new();
        command.arg(words);
        let reply: redis::RedisResult<Value> = command.query_async(&mut *self.0).await;
        reply.map(json).map_err(|error| unavailable("redis", error))
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

    /// Creates a pool for `url` of `figment`. Opens no connection.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        let config: Config = figment.extract()?;
        let failed = |error| Error::Init(deadpool_redis::PoolError::Backend(error));
        let client = Client::open(config.url).map_err(failed)?;
        Self::new(&client).map_err(failed)
    }

    async fn get(&self) -> std::result::Result<RedisConnection, Self::Error> {
        self.current().get().await.map(RedisConnection).map_err(Error::Get)
    }

    async fn close(&self) {
        self.current().close();
    }
}

impl RedisPool {
    pub(super) fn new(client: &Client) -> redis::RedisResult<Self> {
        Ok(Self(Arc::new(RwLock::new(create_pool(client)?))))
    }

    /// Creates a pool that is unusable until it is [redirected](Self::redirect_to) to a server.
    pub(super) fn without_server() -> redis::RedisResult<Self> {
        Self::new(&Client::open(("127.0.0.1", 0))?)
    }

    /// Returns the pool of the current server.
    pub(super) fn current(&self) -> deadpool_redis::Pool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens all further connections to another server. Connections in use stay with the old one.
    pub(super) fn redirect_to(&self, client: &Client) -> redis::RedisResult<()> {
        let new = create_pool(client)?;
        let mut pool = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !pool.is_closed() {
            std::mem::replace(&mut *pool, new).close();
        }
        Ok(())
    }
}

#[expect(clippy::expect_used, reason = "the builder fails only without a runtime, and it has one")]
fn create_pool(client: &Client) -> redis::RedisResult<deadpool_redis::Pool> {
    let address = client.get_connection_info().clone();
    let connection = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ROUND_TRIP_TIMEOUT))
        .set_response_timeout(Some(RESPONSE_TIMEOUT));
    let pool = deadpool_redis::Pool::builder(Manager::new_with_config(address, connection)?)
        .max_size(MAX_CONNECTIONS)
        .wait_timeout(Some(ROUND_TRIP_TIMEOUT))
        .create_timeout(Some(ROUND_TRIP_TIMEOUT))
        .recycle_timeout(Some(ROUND_TRIP_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("a pool with timeouts has a runtime");
    Ok(pool)
}
