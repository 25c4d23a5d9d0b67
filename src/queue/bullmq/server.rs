//! The Redis server: round trips with a deadline, over connections that are thrown away when one of
//! them fails.
//!
//! A socket can fall silent without ever failing, and the crate then waits for it for ever. So
//! nothing here trusts a connection: whoever got no answer in time takes the idle ones with it, and
//! the next round trip begins with a new one.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bullmq::{
    QueueKeys,
    options::{RedisConnectionOptions, TlsCerts},
};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ScriptInvocation, ServerErrorKind};
use rocket_db_pools::Pool as _;
use tokio::time::timeout;

use super::{
    discovery::{Address, Discovery},
    options,
    pool::{BatchRedis, RedisPool},
    rights::{Forbidden, is_refusal},
    snapshot::{QueueSnapshot, SnapshotQuery, SnapshotScript},
    tls,
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

/// Where the queues are, common to all queues of a process.
pub struct Server {
    pool: RedisPool,
    settings: RedisSettings,
    tls: Option<TlsCerts>,
    discovery: Discovery,
    /// Where it was found; `None` before anybody said it.
    place: Mutex<Option<Address>>,
    looking: SnapshotScript,
    pub(super) mending: Script,
    /// Candidates trips that failed, and moves to another server.
    failures: AtomicU64,
    /// What it does when its memory is full, as it was seen last.
    policy: Mutex<Option<String>>,
    /// Between two checks of what may be lost or changed behind our back.
    pub(super) check: Duration,
}

impl Server {
    /// Prepares the way to the server of `settings`, which have passed
    /// [`Config::check`](crate::config::Config::check). Nothing is reached yet.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`] if the settings make no address, or a file of certificates or of
    /// a key can't be used.
    pub fn new(settings: &RedisSettings) -> Result<Self> {
        Self::towards(settings).map_err(|error| unavailable("redis", error))
    }

    fn towards(settings: &RedisSettings) -> std::result::Result<Self, BoxError> {
        tls::bring_a_provider();
        let tls = tls::certificates(settings)?;
        let discovery = Discovery::of(settings, tls.as_ref())?;
        let place = discovery.for_good().cloned();
        let pool = match &place {
            Some(place) => RedisPool::to(&options::client(&options::connection(settings, place, tls.as_ref()))?)?,
            None => RedisPool::nowhere()?,
        };
        Ok(Self {
            pool,
            settings: settings.clone(),
            tls,
            discovery,
            place: Mutex::new(place),
            looking: SnapshotScript::new(),
            mending: Script::new(include_str!("repair.lua")),
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
    /// If nobody has said yet where it is.
    pub(super) fn connection(&self) -> std::result::Result<RedisConnectionOptions, String> {
        let place = self.place.lock().expect("nobody panics with it");
        let place = place.as_ref().ok_or("nobody has said yet where the master of Redis is")?;
        Ok(options::connection(&self.settings, place, self.tls.as_ref()))
    }

    /// Whether it may come to be elsewhere.
    pub(super) fn may_move(&self) -> bool {
        self.discovery.for_good().is_none()
    }

    /// Asks where it is, where there is somebody to ask, and turns there.
    pub(super) async fn find(&self) -> std::result::Result<(), BoxError> {
        let found = self.discovery.ask().await?;
        let mut place = self.place.lock().expect("nobody panics with it");
        if place.as_ref() != Some(&found) {
            self.pool.turn_to(&options::client(&options::connection(&self.settings, &found, self.tls.as_ref()))?)?;
            // Whoever has a socket to the old one is to get another.
            self.failures.fetch_add(1, Ordering::SeqCst);
            tracing::info!(host = found.host, port = found.port, "the master of Redis is found");
            *place = Some(found);
        }
        Ok(())
    }

    /// Finds it, tries the rights, and has one [`QueueSnapshot`] at the queue of `keys`, so that a
    /// wrong setting is said in time.
    pub(super) async fn meet(&self, keys: &QueueKeys) -> std::result::Result<(), BoxError> {
        self.find().await?;
        let met = async {
            self.try_rights(keys).await?;
            self.look(&SnapshotQuery { keys, max: 0, latest: u64::MAX, ids: &[] }).await.map(drop)
        };
        match met.await {
            Err(error) if !self.may_move() => Err(taken_for_a_lone_server(error)),
            met => met,
        }
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

    /// Where the jobs are that `question` asks about. A queue that somebody broke with the id of a
    /// job is mended first.
    pub(super) async fn look(&self, question: &SnapshotQuery<'_>) -> std::result::Result<QueueSnapshot, BoxError> {
        if let Some(look) = self.try_to_look(question).await? {
            Ok(look)
        } else {
            self.repair_reserved_keys(question.keys).await?;
            let again = self.try_to_look(question).await?;
            again.ok_or_else(|| "somebody keeps adding jobs under the names of the queue's own keys".into())
        }
    }

    async fn try_to_look(&self, question: &SnapshotQuery<'_>) -> std::result::Result<Option<QueueSnapshot>, BoxError> {
        SnapshotScript::read(self.run(&self.looking.at(question)).await?)
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

    /// How many round trips have failed so far. Who holds a socket that is older than the last of
    /// them had better replace it.
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

    /// Warns when Redis may throw jobs away, at the start and whenever that changes. They come back
    /// from the ledger, but late.
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
        if let Err(error) = &done
            && !is_refusal(error)
        {
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

pub(super) fn silent(limit: Duration) -> BoxError {
    format!("no answer within {limit:?}").into()
}

/// Adds to an error how to mend it, where a node of a cluster was taken for a lone server.
fn taken_for_a_lone_server(error: BoxError) -> BoxError {
    let kind = error.downcast_ref::<RedisError>().map(RedisError::kind);
    match kind {
        Some(ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::CrossSlot)) => {
            format!("{error}; it is a node of a cluster, so set `redis.nodes` instead of `redis.host`").into()
        }
        _ => error,
    }
}

/// Why a queue could not be opened.
pub(super) fn not_met(queue: &str, source: BoxError) -> QueueError {
    if source.is::<Forbidden>() {
        QueueError::Forbidden { queue: queue.to_owned(), source }
    } else {
        unavailable(queue, source)
    }
}

pub(super) fn unavailable(queue: &str, source: impl Into<BoxError>) -> QueueError {
    QueueError::Unavailable { queue: queue.to_owned(), source: source.into() }
}
