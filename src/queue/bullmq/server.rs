//! The Redis server: round trips with a deadline, over connections that are thrown away when one of them fails.
//!
//! A socket can fall silent without ever failing, and the crate then waits for it for ever. So nothing here trusts a connection: whoever
//! got no answer in time takes the idle ones with it, and the next round trip begins with a new one.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Mutex, Once, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bullmq::{QueueKeys, options::RedisConnectionOptions};
use deadpool_redis::{Manager, Runtime};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Script, ScriptInvocation, Value};
use rocket::figment::Figment;
use rocket_db_pools::{Config, Error, Pool};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::timeout;

use super::{
    mend::own_keys,
    options,
    sentinel::{Address, Sentinels},
};
use crate::{
    config::RedisSettings,
    queue::{QueueCounts, QueueError, Result},
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a connection may take to stand, and how long a small round trip may take.
pub(super) const PROMPT: Duration = Duration::from_secs(2);

/// Between two checks of what may be lost or changed behind our back.
const CHECK: Duration = Duration::from_secs(60);

/// Idle connections that are kept for round trips.
const CONNECTIONS: usize = 4;

/// Connections to the Redis server of the queues. A clone is the same pool. It opens them as they are needed, and where Sentinels name
/// another master, it opens them there.
#[derive(Clone)]
pub struct RedisPool(Arc<RwLock<deadpool_redis::Pool>>);

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
    fn to(client: &Client) -> redis::RedisResult<Self> {
        Ok(Self(Arc::new(RwLock::new(pool_to(client)?))))
    }

    /// The pool of the server that counts now.
    fn now(&self) -> deadpool_redis::Pool {
        self.0.read().expect("nobody panics with it").clone()
    }

    /// From here on connections are to another server. Those that are in use end with it.
    fn turn_to(&self, client: &Client) -> redis::RedisResult<()> {
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

/// Where the queues are, common to all queues of a process.
pub struct Server {
    pool: RedisPool,
    settings: RedisSettings,
    /// Certificates that vouch for it.
    ca: Option<Vec<u8>>,
    /// Who says where it is; without them it stays where the settings say.
    sentinels: Option<Sentinels>,
    place: Mutex<Option<Address>>,
    look: Script,
    pub(super) mend: Script,
    /// Round trips that failed, and moves to another server.
    failures: AtomicU64,
    /// What it does when its memory is full, as it was seen last.
    policy: Mutex<Option<String>>,
    /// Between two checks of what may be lost or changed behind our back.
    pub(super) check: Duration,
}

impl Server {
    /// Prepares the way to the server of `settings`, which have passed [`Config::check`](crate::config::Config::check). Nothing is reached
    /// yet.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`] if the settings make no address, or the file of certificates can't be read.
    pub fn new(settings: &RedisSettings) -> Result<Self> {
        Self::towards(settings).map_err(|error| unavailable("redis", error))
    }

    fn towards(settings: &RedisSettings) -> std::result::Result<Self, BoxError> {
        bring_a_tls_provider();
        let ca = settings.ca.as_deref().map(certificates).transpose()?;
        let sentinels = Sentinels::of(settings, ca.as_deref())?;
        let place = Address { host: settings.host().unwrap_or("127.0.0.1").to_owned(), port: settings.port };
        let client = options::client(&options::connection(settings, &place, ca.as_deref()))?;
        Ok(Self {
            pool: RedisPool::to(&client)?,
            settings: settings.clone(),
            ca,
            // Nobody knows yet where the Sentinels' master is.
            place: Mutex::new(sentinels.is_none().then_some(place)),
            sentinels,
            look: Script::new(include_str!("look.lua")),
            mend: Script::new(include_str!("mend.lua")),
            failures: AtomicU64::new(0),
            policy: Mutex::default(),
            check: CHECK,
        })
    }

    /// Checks in another interval what may be changed behind our back; for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn checking_every(mut self, interval: Duration) -> Self {
        self.check = interval;
        self
    }

    pub(super) fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// How it is reached, for the crate.
    ///
    /// # Errors
    ///
    /// If no Sentinel has said yet where it is.
    pub(super) fn connection(&self) -> std::result::Result<RedisConnectionOptions, String> {
        let place = self.place.lock().expect("nobody panics with it");
        let place = place.as_ref().ok_or("no Sentinel has said yet where the master is")?;
        Ok(options::connection(&self.settings, place, self.ca.as_deref()))
    }

    /// Whether it may come to be elsewhere.
    pub(super) const fn may_move(&self) -> bool {
        self.sentinels.is_some()
    }

    /// Asks the Sentinels, if there are any, where it is, and turns there.
    pub(super) async fn find(&self) -> std::result::Result<(), BoxError> {
        let Some(sentinels) = &self.sentinels else { return Ok(()) };
        let found = sentinels.master().await?;
        let mut place = self.place.lock().expect("nobody panics with it");
        if place.as_ref() != Some(&found) {
            self.pool.turn_to(&options::client(&options::connection(&self.settings, &found, self.ca.as_deref()))?)?;
            // Whoever has a socket to the old one is to get another.
            self.failures.fetch_add(1, Ordering::SeqCst);
            tracing::info!(host = found.host, port = found.port, "the Sentinels say where the master of Redis is");
            *place = Some(found);
        }
        Ok(())
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
            let mut connection = self.pool.now().get().await?;
            Ok(command.query_async(&mut connection).await?)
        })
        .await
    }

    /// Where the jobs are that `question` asks about. A queue that somebody broke with the id of a job is mended first.
    pub(super) async fn look(&self, question: &Question<'_>) -> std::result::Result<Look, BoxError> {
        match self.try_to_look(question).await? {
            Some(look) => Ok(look),
            None => {
                self.mend(question.keys).await?;
                let again = self.try_to_look(question).await?;
                again.ok_or_else(|| "somebody keeps adding jobs under the names of the queue's own keys".into())
            }
        }
    }

    async fn try_to_look(&self, question: &Question<'_>) -> std::result::Result<Option<Look>, BoxError> {
        let Question { keys, most, latest, ids } = question;
        let (own, types): (Vec<_>, Vec<_>) = own_keys(keys).into_iter().unzip();
        let mut call = self.look.prepare_invoke();
        call.key(own).arg(keys.key_prefix()).arg(most).arg(latest).arg(types.len()).arg(types).arg(*ids);
        let answer: Vec<u64> = self.run(&call).await?;
        match answer[..] {
            [] => Ok(None),
            [head, ready, ref states @ ..] => {
                let states = states.iter().copied().map(Standing::of).collect();
                Ok(Some(Look { head, ready: ready == 1, states }))
            }
            _ => Err("Redis answered a question about jobs with less than was asked".into()),
        }
    }

    /// One round trip for a script, within [`PROMPT`].
    pub(super) async fn run<T: FromRedisValue + Send>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> std::result::Result<T, BoxError> {
        self.promptly(async {
            let mut connection = self.pool.now().get().await?;
            Ok(call.invoke_async(&mut connection).await?)
        })
        .await
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
            let mut connection = self.pool.now().get().await?;
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

    /// Warns when Redis may throw jobs away, at the start and whenever that changes. They come back from the ledger, but late.
    pub(super) async fn check_eviction(&self) {
        match self.eviction_policy().await {
            Ok(Some(policy)) => self.mind(policy),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "Redis does not say what it evicts"),
        }
    }

    fn mind(&self, policy: String) {
        let before = self.policy.lock().expect("nobody panics with it").replace(policy.clone());
        match before {
            Some(before) if before == policy => {}
            _ if policy != "noeviction" => tracing::warn!(
                policy,
                "Redis may evict the queue's keys when its memory is full; set `maxmemory-policy noeviction`"
            ),
            Some(_) => tracing::info!("Redis evicts nothing any more"),
            None => {}
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
            self.pool.now().retain(|_, _| false);
        }
        done
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.place).field("prefix", &self.prefix()).finish_non_exhaustive()
    }
}

/// What [`Server::look`] is asked.
pub(super) struct Question<'a> {
    /// Of which queue.
    pub keys: &'a QueueKeys,
    /// Starts in a window of its rate limit; 0 for no limit.
    pub most: u32,
    /// When a delayed job of ours may be due at the latest, in milliseconds since 1970.
    pub latest: u64,
    /// The jobs.
    pub ids: &'a [String],
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
    /// Completed or failed, and kept; or where no worker gets to see it in time. Its id is taken.
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

/// The certificates of a file, as they stand there.
fn certificates(file: &Path) -> std::result::Result<Vec<u8>, BoxError> {
    let wrong =
        |why: &dyn fmt::Display| format!("the certificates of `redis.ca` can't be read from {}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let count = CertificateDer::pem_slice_iter(&pem).try_fold(0, |count, found| found.map(|_| count + 1));
    match count {
        Ok(0) => Err(wrong(&"it has none").into()),
        Ok(_) => Ok(pem),
        Err(error) => Err(wrong(&error).into()),
    }
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
