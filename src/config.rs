//! Every setting, its default and its unit, once.
//!
//! Later wins: the defaults here, `[default.batch]` of the host's figment (with its profiles, and
//! `ROCKET_BATCH={..}`), `REDIS_*`, `ROCKET_BATCH__*`, and last what the host says to
//! [`BatchFairing::configure`](crate::BatchFairing::configure). An unknown key is answered with the
//! right ones. Everything is checked once, at ignition.

mod origin;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use figment::{
    Figment,
    providers::{Env, Serialized},
    value::Value,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub(crate) use self::origin::Origin;
use crate::domain::{Backoff, CodeKey, Limits, QueueCapacity, RateLimit, Throughput};

/// The settings of the plugin, under `[default.batch]`.
///
/// ```toml
/// [default.batch]
/// base = "/batches"
/// chunk_size = 500
///
/// [default.batch.generate]
/// concurrency = 4
/// rate_limit = "off"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the routes are mounted. Default: `"/batches"`.
    pub base: String,

    /// What this process does: `all`, `web` (routes, no workers) or `worker` (workers and health
    /// probes). Default: `"all"`.
    pub role: Role,

    /// Whether the OpenAPI document is served at `openapi.json` below the base, and a page that
    /// shows it at `docs`. They hold no data and ask nobody for credentials. Default: true.
    pub docs: bool,

    /// Other origins whose web pages may send requests that write, each as `scheme://host[:port]`,
    /// such as `https://admin.example`. What a browser sends from a page of any other origin than
    /// yours is refused. Behind a proxy that changes `Host` or ends TLS, list your own origin too.
    /// Default: `[]`.
    pub allowed_origins: Vec<String>,

    /// Items a job, when a request does not say. More is faster, fewer spread better and lose less
    /// with a worker. Default: 100.
    pub batch_size: u64,

    /// Items a transaction. More is faster, fewer answer a pause or a cancel sooner. Default: 50.
    pub chunk_size: u64,

    /// Most jobs of one batch, at most 100,000; when there would be more, jobs grow. A request may
    /// ask for fewer, not for more. Default: 1,000.
    pub max_jobs_per_batch: u64,

    /// Most items of one job; a request that would need larger jobs is refused. Default: 10,000.
    pub max_items_per_job: u64,

    /// Most items of one batch. Default: 10,000,000.
    pub max_quantity: u64,

    /// How often a chunk is tried within one attempt before it is set aside. Default: 3.
    pub chunk_tries: u32,

    /// The wait after a chunk's first failure; it doubles with each further one, up to 10 seconds,
    /// and chance shortens it by up to a half. Default: `"100ms"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub chunk_backoff: Duration,

    /// How often a job may lose its worker, without one new item in between, before it is failed.
    /// Default: 5.
    pub max_crashes: u32,

    /// How often the ledger is searched for work that is in no queue, more or less by a tenth.
    /// Longer spares the database, shorter finds sooner what another process accepted. Default:
    /// `"10s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub feed_interval: Duration,

    /// The pause between two pages of jobs that are put into the queue. Default: `"0s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub feed_pause: Duration,

    /// Requests that read from the database at a time; lists are at most half of them, and no more
    /// than half of the processors. Others wait up to a second, and are then told to come again:
    /// 503 with `Retry-After`. In PostgreSQL keep it well below `request_connections`, so that
    /// writes always find a connection. Default: 4.
    pub concurrent_reads: u32,

    /// Batches that are fed into the queue at a time: half of them those that came first, half
    /// those with the fewest open jobs; more when they are tiny. Fewer let batches end one after
    /// the other, more let them advance together. Default: 64.
    pub feed_window: u64,

    /// Most jobs of one batch in the queue at once. Default: 1,000.
    pub queued_per_batch: u64,

    /// Most jobs in the queue at once; the next 100 are there however many others there are. Jobs
    /// that wait for their next attempt are not among them: there may be as many of those. Default:
    /// 10,000.
    pub queued: u64,

    /// How long a shutdown may take to end running chunks and to give jobs back. Keep it below what
    /// the service manager grants. Default: `"25s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub drain: Duration,

    /// How long a call of a host's hook may take. Default: `"30s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub hook_timeout: Duration,

    /// How long the history of a batch is kept once it is over, at most 10 years: `"90days"`, or
    /// `"forever"`. Then the rows of its jobs are removed, little by little, and those of hooks
    /// that were given up. Its items, counts and times stay, but its failed jobs can't be listed or
    /// retried any more. Default: `"forever"`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub keep_history: KeepSetting,

    /// The key that makes the codes: 32 hex digits. Without one, a key is made once and kept in the
    /// ledger. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub code_key: Option<Secret>,

    /// Whether the items have an index on their code. For hosts whose own statements look items up
    /// by it; the crate needs none, and writing takes at least twice as long with one. Made or
    /// removed at the next start. Default: `false`.
    pub index_codes: bool,

    /// The queue `generate-product-batch-items`: the jobs.
    pub generate: QueueSettings,

    /// The queue `update-batch-status`: ends of batches, and hooks. Default: 5 at a time, no rate
    /// limit, 5 completed and 3 failed kept.
    pub status: QueueSettings,

    /// The Redis server of the queues; without one, they are in the process.
    pub redis: RedisSettings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base: "/batches".into(),
            role: Role::All,
            docs: true,
            allowed_origins: Vec::new(),
            batch_size: 100,
            chunk_size: 50,
            max_jobs_per_batch: 1_000,
            max_items_per_job: 10_000,
            max_quantity: 10_000_000,
            chunk_tries: 3,
            chunk_backoff: Duration::from_millis(100),
            max_crashes: 5,
            feed_interval: Duration::from_secs(10),
            feed_pause: Duration::ZERO,
            concurrent_reads: 4,
            feed_window: 64,
            queued_per_batch: 1_000,
            queued: 10_000,
            drain: Duration::from_secs(25),
            hook_timeout: Duration::from_secs(30),
            keep_history: KeepSetting(None),
            code_key: None,
            index_codes: false,
            generate: QueueSettings::default(),
            status: QueueSettings::of_status(),
            redis: RedisSettings::default(),
        }
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves the routes and works.
    All,
    /// Serves the routes.
    Web,
    /// Works, and serves the health probes.
    Worker,
}

impl Role {
    pub(crate) const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    pub(crate) const fn serves(self) -> bool {
        matches!(self, Self::All | Self::Web)
    }
}

/// The settings of one queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueSettings {
    /// Jobs at a time in this process; of the queue `update-batch-status`, closings and calls of
    /// hooks. Default: 2.
    pub concurrency: u32,

    /// Most jobs at a time over all processes. Default: none.
    pub global_concurrency: Option<u32>,

    /// Most starts over time and over all processes: `"<jobs> per <time>"`, or `"off"`. Default:
    /// `"5 per 10s"`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub rate_limit: RateLimitSetting,

    /// Attempts at a job, or calls of a hook, in all. Default: 3.
    pub attempts: u32,

    /// The wait after the first failed attempt; it doubles with each further one, and chance
    /// shortens it by up to a half, in Redis only where it could get to `max_backoff`. Default:
    /// `"1s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub backoff: Duration,

    /// The longest wait after a failed attempt. Default: `"5m"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub max_backoff: Duration,

    /// Completed tasks that the queue remembers. Default: 10.
    pub keep_completed: u64,

    /// Failed tasks that the queue remembers. Default: 5.
    pub keep_failed: u64,

    /// How long a worker's claim to a job lasts in Redis; it is renewed twice in this time. Shorter
    /// frees the jobs of a killed worker sooner, longer survives a slow network. Default: `"10s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub lock: Duration,

    /// How often the workers look in Redis for jobs whose claim ran out. Default: `"5s"`.
    #[serde(with = "span")]
    #[schemars(with = "String")]
    pub stall_check: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            concurrency: 2,
            global_concurrency: None,
            rate_limit: RateLimitSetting(Some(RateLimit { jobs: 5, per: Duration::from_secs(10) })),
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
            keep_completed: 10,
            keep_failed: 5,
            lock: Duration::from_secs(10),
            stall_check: Duration::from_secs(5),
        }
    }
}

impl QueueSettings {
    fn of_status() -> Self {
        Self {
            concurrency: 5,
            rate_limit: RateLimitSetting(None),
            keep_completed: 5,
            keep_failed: 3,
            ..Self::default()
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff, max: self.max_backoff }
    }

    pub(crate) fn throughput(&self) -> Throughput {
        Throughput { concurrency: self.concurrency, rate_limit: self.rate_limit.0 }
    }

    fn check(&self, queue: &str) -> Result<(), ConfigError> {
        let within =
            |key: &str, value: u32, max: u32| within(&format!("{queue}.{key}"), u64::from(value), 1, u64::from(max));
        within("concurrency", self.concurrency, 1_000)?;
        within("global_concurrency", self.global_concurrency.unwrap_or(1), 1_000_000)?;
        within("attempts", self.attempts, 100)?;
        span_within(&format!("{queue}.lock"), self.lock, Duration::from_secs(1))?;
        span_within(&format!("{queue}.stall_check"), self.stall_check, Duration::from_millis(500))?;
        span_within(&format!("{queue}.backoff"), self.backoff, Duration::ZERO)?;
        span_within(&format!("{queue}.max_backoff"), self.max_backoff, Duration::ZERO)?;
        self.check_rate_limit(queue)
    }

    fn check_rate_limit(&self, queue: &str) -> Result<(), ConfigError> {
        let key = format!("{queue}.rate_limit");
        span_within(&key, self.rate_limit.0.map_or(Duration::ZERO, |limit| limit.per), Duration::ZERO)?;
        if self.rate_limit.0.is_some_and(|limit| limit.jobs == 0 || limit.per.is_zero()) {
            return Err(ConfigError::new(key, "must allow at least 1 job in a time above 0, or be \"off\""));
        }
        Ok(())
    }
}

/// A rate limit as it is written in a setting: `"5 per 10s"`, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSetting(pub Option<RateLimit>);

impl FromStr for RateLimitSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "off" {
            return Ok(Self(None));
        }
        let wrong = || format!("`{text}` is no rate limit; write \"5 per 10s\" or \"off\"");
        let (jobs, per) = text.split_once(" per ").ok_or_else(wrong)?;
        let jobs = jobs.trim().parse().map_err(|_| wrong())?;
        let per = humantime::parse_duration(per.trim()).map_err(|_| wrong())?;
        Ok(Self(Some(RateLimit { jobs, per })))
    }
}

impl fmt::Display for RateLimitSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(RateLimit { jobs, per }) => write!(f, "{jobs} per {}", humantime::format_duration(per)),
            None => f.write_str("off"),
        }
    }
}

/// How long something is kept, as it is written in a setting: `"90days"`, or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepSetting(pub Option<Duration>);

impl FromStr for KeepSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "forever" {
            return Ok(Self(None));
        }
        let wrong = |_| format!("`{text}` is no duration; write \"90days\" or \"forever\"");
        humantime::parse_duration(text.trim()).map(|kept| Self(Some(kept))).map_err(wrong)
    }
}

impl fmt::Display for KeepSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(kept) => humantime::format_duration(kept).fmt(f),
            None => f.write_str("forever"),
        }
    }
}

/// Where Redis is, and how it is spoken to. Also from the environment: `REDIS_HOST`, `REDIS_PORT`,
/// `REDIS_PASSWORD`, `REDIS_DB`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisSettings {
    /// The name or address of Redis; without one, the queues are in this process. Default: none.
    pub host: Option<String>,

    /// The port of Redis. Default: 6379.
    pub port: u16,

    /// The user of Redis, when it has several. Default: none.
    pub username: Option<String>,

    /// The password of Redis, when it wants one. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret>,

    /// The number of the database in Redis, 0 to 255. Default: 0.
    pub db: u32,

    /// Whether Redis, its Sentinels and its nodes are spoken to over TLS. Default: false.
    pub tls: bool,

    /// The file with the certificates, in PEM, that vouch for Redis and its Sentinels; without one,
    /// the well-known authorities do. Needs `tls`. Default: none.
    pub ca: Option<PathBuf>,

    /// The file with the certificate, in PEM, that says to Redis, its Sentinels and its nodes who
    /// we are, and with those that vouch for it. Needs `tls` and `key`. Default: none.
    pub cert: Option<PathBuf>,

    /// The file with the private key to `cert`, in PEM and without a passphrase. Default: none.
    pub key: Option<PathBuf>,

    /// Nodes of the Redis Cluster that has the queues, each as `host:port`, instead of `host` and
    /// `port`. Some of them do, the others are learnt from them. Needs a hash tag in `prefix`.
    /// Default: `[]`.
    pub nodes: Vec<String>,

    /// The Sentinels that say where Redis is, each as `host:port`, instead of `host` and `port`.
    /// Default: `[]`.
    pub sentinels: Vec<String>,

    /// What the Sentinels call the master. Default: `"mymaster"`.
    pub master: String,

    /// The user of the Sentinels, when they have several. Default: none.
    pub sentinel_username: Option<String>,

    /// The password of the Sentinels, when they want one. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub sentinel_password: Option<Secret>,

    /// What the names of all keys in Redis begin with, before a colon: letters, digits, `_`, `.`,
    /// `-`, and at most one hash tag in braces, such as `{bull}`. Whoever has the same prefix
    /// shares the queues. Default: `"bull"`.
    pub prefix: String,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            host: None,
            port: 6379,
            username: None,
            password: None,
            db: 0,
            tls: false,
            ca: None,
            cert: None,
            key: None,
            nodes: Vec::new(),
            sentinels: Vec::new(),
            master: "mymaster".into(),
            sentinel_username: None,
            sentinel_password: None,
            prefix: "bull".into(),
        }
    }
}

impl RedisSettings {
    /// Where Redis is, if there is one. An empty name is none: compose files like to set all
    /// variables.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref().map(str::trim).filter(|host| !host.is_empty())
    }

    /// Where Redis is, in words; `None` when the queues are in this process.
    pub(crate) fn place(&self) -> Option<String> {
        match self.host() {
            _ if !self.sentinels.is_empty() => {
                Some(format!("the Redis that the Sentinels {} call `{}`", self.sentinels.join(", "), self.master))
            }
            _ if !self.nodes.is_empty() => Some(format!("the Redis Cluster of {}", self.nodes.join(", "))),
            Some(host) => Some(format!("Redis at {host}:{}", self.port)),
            None => None,
        }
    }

    /// Host and port of each Sentinel. An IPv6 address stands in brackets, as in a URL.
    #[cfg(feature = "redis")]
    pub(crate) fn sentinel_addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.sentinels.iter().filter_map(|address| address_of(address))
    }

    /// The same of each node of a cluster.
    #[cfg(feature = "redis")]
    pub(crate) fn node_addresses(&self) -> impl Iterator<Item = (String, u16)> {
        self.nodes.iter().filter_map(|address| address_of(address))
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.place().is_some() && cfg!(not(feature = "redis")) {
            let why = "is set, but this build has no Redis queue; turn on the feature `redis` of rocket_batch, or unset REDIS_HOST to use \
                       the queue in the process";
            return Err(ConfigError::new("redis.host", why));
        }
        within("redis.db", self.db.into(), 0, 255)?;
        self.check_place()?;
        self.check_tls()?;
        self.check_prefix()?;
        self.check_cluster()
    }

    /// One way to say where Redis is, and addresses that read as such.
    fn check_place(&self) -> Result<(), ConfigError> {
        let several = [("redis.sentinels", &self.sentinels, 26_379), ("redis.nodes", &self.nodes, 6_379)];
        for (key, addresses, port) in several {
            if !addresses.is_empty() && self.host().is_some() {
                let why = "are set, and so is `batch.redis.host` (REDIS_HOST); leave one of them out";
                return Err(ConfigError::new(key, why));
            }
            if let Some(wrong) = addresses.iter().find(|address| address_of(address).is_none()) {
                let why = format!("must read `host:port` each, but one is {wrong:?}; write [\"10.0.0.1:{port}\"], say");
                return Err(ConfigError::new(key, why));
            }
        }
        if !self.nodes.is_empty() && !self.sentinels.is_empty() {
            let why = "are set, and so are `batch.redis.sentinels`; leave one of them out";
            return Err(ConfigError::new("redis.nodes", why));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        let files = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        if let Some((name, _)) = files.iter().find(|(_, file)| file.is_some() && !self.tls) {
            let why = "is set, but `redis.tls` is false; set it to true, or leave the file out";
            return Err(ConfigError::new(format!("redis.{name}"), why));
        }
        let (there, lacking) = match (&self.cert, &self.key) {
            (Some(_), None) => ("redis.cert", "redis.key"),
            (None, Some(_)) => ("redis.key", "redis.cert"),
            _ => return Ok(()),
        };
        Err(ConfigError::new(there, format!("is set, but `batch.{lacking}` is not; set both, or leave both out")))
    }

    /// What a cluster asks for: the one database that it has, and one slot for all keys.
    fn check_cluster(&self) -> Result<(), ConfigError> {
        let Self { nodes, db, prefix, .. } = self;
        let wrong = match nodes.is_empty() {
            false if *db != 0 => {
                let why =
                    format!("must be 0 where `batch.redis.nodes` are set, since a cluster has no other, but is {db}");
                ConfigError::new("redis.db", why)
            }
            false if !prefix.contains('{') => {
                let why = format!(
                    "must have a hash tag where `batch.redis.nodes` are set, so that one node has all keys, but is {prefix:?}; write \
                     \"{{{prefix}}}\""
                );
                ConfigError::new("redis.prefix", why)
            }
            _ => return Ok(()),
        };
        Err(wrong)
    }

    fn check_prefix(&self) -> Result<(), ConfigError> {
        let untagged = match self.prefix.split_once(['{', '}']) {
            None => Some(self.prefix.clone()),
            Some((before, rest)) => rest
                .split_once('}')
                .filter(|(tag, _)| self.prefix.as_bytes()[before.len()] == b'{' && !tag.is_empty())
                .map(|(tag, after)| format!("{before}{tag}{after}")),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if untagged.is_some_and(|name| (1..=64).contains(&name.len()) && name.chars().all(plain)) {
            return Ok(());
        }
        let why = "must be 1 to 64 letters, digits, `_`, `.` or `-`, with at most one hash tag in braces";
        Err(ConfigError::new("redis.prefix", format!("{why}, but is {:?}; write \"bull\", say", self.prefix)))
    }
}

/// Host and port of `host:port`.
fn address_of(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let plain = |host: &str| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "[]@/".contains(c));
    let whole = plain(bare.unwrap_or(host)) && (bare.is_some() || !host.contains(':'));
    whole.then(|| (bare.unwrap_or(host).to_owned(), port))
}

/// A text that no log, no error and no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Mind where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value, since serde's own message for a wrong type would show it.
        let text = <Value as Deserialize>::deserialize(deserializer)?.into_string();
        text.map(Self).ok_or_else(|| D::Error::custom("must be a text in quotes"))
    }
}

/// The settings for a host's own tests: a ledger in memory, no rate limit, short waits.
///
/// Nothing has to be installed and nothing is left behind. One line puts them over the host's own:
///
/// ```
/// # fn rocket() -> rocket::Rocket<rocket::Build> { rocket::build().attach(rocket_batch::Batch::fairing().public()) }
/// let rocket = rocket().configure(rocket::Config::figment().merge(rocket_batch::config::testing()));
/// # let _ = rocket;
/// ```
#[must_use]
pub fn testing() -> Figment {
    Figment::new()
        .merge(Serialized::global("databases.batch.url", "sqlite://:memory:"))
        .merge(Serialized::global("batch.generate.rate_limit", "off"))
        .merge(Serialized::global("batch.generate.backoff", "10ms"))
        .merge(Serialized::global("batch.status.backoff", "10ms"))
        .merge(Serialized::global("batch.chunk_backoff", "1ms"))
}

/// Why the configuration can't be used: the key, what is wrong, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`batch.{key}` {why}")]
pub struct ConfigError {
    key: String,
    why: String,
}

impl ConfigError {
    fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }

    fn of(error: figment::Error) -> Self {
        let source = error.metadata.as_ref().map(|metadata| format!(" (in {})", metadata.name));
        let path = error.path.join(".").to_lowercase();
        Self::new(path, format!("{}{}", error.kind, source.unwrap_or_default()))
    }
}

/// What is read from the environment as it stands: figment reads `007` as the number 7, and shows
/// it in its errors.
const VERBATIM: [(&str, &str); 13] = [
    ("REDIS_HOST", "redis.host"),
    ("REDIS_PASSWORD", "redis.password"),
    ("ROCKET_BATCH__REDIS__HOST", "redis.host"),
    ("ROCKET_BATCH__REDIS__USERNAME", "redis.username"),
    ("ROCKET_BATCH__REDIS__PASSWORD", "redis.password"),
    ("ROCKET_BATCH__REDIS__PREFIX", "redis.prefix"),
    ("ROCKET_BATCH__REDIS__CA", "redis.ca"),
    ("ROCKET_BATCH__REDIS__CERT", "redis.cert"),
    ("ROCKET_BATCH__REDIS__KEY", "redis.key"),
    ("ROCKET_BATCH__REDIS__MASTER", "redis.master"),
    ("ROCKET_BATCH__REDIS__SENTINEL_USERNAME", "redis.sentinel_username"),
    ("ROCKET_BATCH__REDIS__SENTINEL_PASSWORD", "redis.sentinel_password"),
    ("ROCKET_BATCH__CODE_KEY", "code_key"),
];

impl Config {
    /// Reads the settings for a host that is configured by `host`, unchecked.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an unknown key or a value of the wrong shape, naming both and where it
    /// stands.
    pub fn from(host: &Figment) -> Result<Self, ConfigError> {
        let verbatim = |key: &str| VERBATIM.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
        let mut figment = Figment::from(Serialized::defaults(Self::default()))
            .merge(host.focus("batch"))
            .merge(Env::prefixed("REDIS_").only(&["port", "db"]).map(|key| format!("redis.{key}").into()).global())
            .merge(
                Env::prefixed("ROCKET_BATCH__")
                    .filter(move |key| !verbatim(&format!("ROCKET_BATCH__{key}")))
                    .split("__")
                    .global(),
            );
        for (name, key) in VERBATIM {
            if let Ok(value) = std::env::var(name) {
                figment = figment.merge(Serialized::global(key, value));
            }
        }
        figment.select(host.profile().clone()).extract().map_err(ConfigError::of)
    }

    /// Checks what a type can't say.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that is out of its limits.
    pub fn check(&self) -> Result<(), ConfigError> {
        within("max_quantity", self.max_quantity, 1, 1 << 40)?;
        within("max_items_per_job", self.max_items_per_job, 1, 1_000_000)?;
        within("max_jobs_per_batch", self.max_jobs_per_batch, 1, Limits::MOST_JOBS)?;
        within("batch_size", self.batch_size, 1, self.max_items_per_job)?;
        within("chunk_size", self.chunk_size, 1, 10_000)?;
        within("chunk_tries", self.chunk_tries.into(), 1, 100)?;
        within("concurrent_reads", u64::from(self.concurrent_reads), 1, 1_000)?;
        within("feed_window", self.feed_window, 1, 10_000)?;
        within("queued", self.queued, 1, 1_000_000)?;
        within("queued_per_batch", self.queued_per_batch, 1, self.queued)?;
        span_within("feed_interval", self.feed_interval, Duration::from_millis(100))?;
        span_within("feed_pause", self.feed_pause, Duration::ZERO)?;
        span_within("chunk_backoff", self.chunk_backoff, Duration::ZERO)?;
        span_within("drain", self.drain, Duration::ZERO)?;
        span_within("hook_timeout", self.hook_timeout, Duration::from_millis(1))?;
        self.check_keep_history()?;
        self.check_base()?;
        self.check_allowed_origins()?;
        self.key()?;
        self.generate.check("generate")?;
        self.status.check("status")?;
        self.redis.check()
    }

    fn check_keep_history(&self) -> Result<(), ConfigError> {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(10 * 366 * 24 * 60 * 60));
        match self.keep_history.0 {
            Some(kept) if !(min..=max).contains(&kept) => {
                let why = format!("must be 1s to 10 years, or \"forever\", but is {}", self.keep_history);
                Err(ConfigError::new("keep_history", why))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_base(&self) -> Result<(), ConfigError> {
        let parsed = rocket::http::uri::Origin::parse(&self.base);
        let plain = parsed.is_ok_and(|origin| origin.query().is_none() && origin.path() != "/");
        if plain && !self.base.ends_with('/') {
            return Ok(());
        }
        let why = "must be a path below `/`, without parameters and without a slash at its end";
        Err(ConfigError::new("base", format!("{why}, but is {:?}; write \"/batches\", say", self.base)))
    }

    fn check_allowed_origins(&self) -> Result<(), ConfigError> {
        let Some(wrong) = self.allowed_origins.iter().find(|entry| Origin::parse(entry).is_none()) else {
            return Ok(());
        };
        let why = format!(
            "must read `scheme://host[:port]` each, without a path or a slash at the end, but one is {wrong:?}; try \
             [\"https://shop.example\"]"
        );
        Err(ConfigError::new("allowed_origins", why))
    }

    /// The origins of `allowed_origins`.
    pub(crate) fn allowed_origins(&self) -> impl Iterator<Item = Origin> {
        self.allowed_origins.iter().filter_map(|entry| Origin::parse(entry))
    }

    pub(crate) fn key(&self) -> Result<Option<CodeKey>, ConfigError> {
        let wrong = || ConfigError::new("code_key", "must be 32 hex digits");
        self.code_key.as_ref().map(|key| CodeKey::parse(key.expose()).ok_or_else(wrong)).transpose()
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            max_quantity: self.max_quantity,
            max_jobs_per_batch: self.max_jobs_per_batch,
            max_items_per_job: self.max_items_per_job,
        }
    }

    pub(crate) const fn capacity(&self) -> QueueCapacity {
        QueueCapacity { per_batch: self.queued_per_batch, total: self.queued }
    }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(key, format!("must be {min} to {max}, but is {value}")))
}

/// Longer than a month is a slip of the pen, and arithmetic with times stays far from its limits.
fn span_within(key: &str, value: Duration, min: Duration) -> Result<(), ConfigError> {
    let max = Duration::from_secs(30 * 24 * 60 * 60);
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let [min, max, value] = [min, max, value].map(humantime::format_duration);
    Err(ConfigError::new(key, format!("must be {min} to {max}, but is {value}")))
}

/// What is written as a text.
mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Durations as people write them: `"10s"`, `"500ms"`, `"1h 30m"`.
mod span {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error as _;

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|_| D::Error::custom(format!("`{text}` is no duration; write \"10s\" or \"500ms\"")))
    }
}
