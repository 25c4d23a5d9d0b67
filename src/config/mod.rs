//! Every setting, with its default and its unit.
//!
//! Later sources override earlier ones: the defaults here, `[default.batch]` of the host's figment
//! (with its profiles, and `ROCKET_BATCH={..}`), `REDIS_*`, `ROCKET_BATCH__*`, and last the host's
//! [`BatchFairing::configure`](crate::BatchFairing::configure). The error for an unknown key names
//! the one that was most likely meant, or lists the known ones. A variable whose name is almost
//! right is refused with the right one. Everything is checked once, at ignition.

mod dashboard;
mod error;
mod origin;
mod queue;
mod redis;
mod role;
mod sources;
mod spelling;
mod testing;
mod values;
mod variables;

use std::time::Duration;

use figment::Figment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    dashboard::DashboardSettings,
    error::ConfigError,
    queue::QueueSettings,
    redis::RedisSettings,
    role::Role,
    testing::testing,
    values::{KeepSetting, ParseSettingError, RateLimitSetting, Secret},
};
use self::{
    error::{check_duration, check_kept, check_range},
    values::{duration, text},
};
pub(crate) use self::{origin::Origin, sources::database};
pub use crate::domain::RateLimit;
use crate::domain::{CodeKey, Limits, QueueCapacity};

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
    /// The path at which the routes are mounted. Default: `"/batches"`.
    pub base: String,

    /// What this process does: `all`, `web` (routes, no workers) or `worker` (workers and health
    /// probes). Default: `"all"`.
    pub role: Role,

    /// Whether this is a test of your app, which must reach no real server. If true, no `REDIS_*`,
    /// `ROCKET_BATCH__*` or `ROCKET_DATABASES__BATCH__*` in the environment is read, and the queues
    /// are in this process whatever `redis` is set to, also by `.configure(..)`. The function
    /// `config::testing()` sets it; it can't be set in the environment. Default: false.
    pub testing: bool,

    /// Whether to serve the OpenAPI document at `openapi.json` below the base, and a page that
    /// shows it at `docs`. They contain no data and need no credentials. Default: true.
    pub docs: bool,

    /// The live page at `dashboard` below the base. `dashboard = false` switches it off.
    #[serde(deserialize_with = "dashboard::switch_or_table")]
    pub dashboard: DashboardSettings,

    /// Other origins whose web pages may send requests that write, each as `scheme://host[:port]`,
    /// such as `https://admin.example`. Such requests from pages of origins that are neither yours
    /// nor listed are refused. Behind a proxy that changes `Host` or terminates TLS, list your own
    /// origin too. Default: `[]`.
    pub allowed_origins: Vec<String>,

    /// The number of items of a job if the request does not specify it. Larger jobs have less
    /// overhead; smaller jobs are distributed more evenly over the workers. After a crash only the
    /// missing items are generated, in both cases. 1 to `max_items_per_job`. Default: 100.
    pub batch_size: u64,

    /// The number of items that one transaction inserts. Larger chunks are faster; smaller chunks
    /// react sooner to a pause or a cancel. 1 to 10,000. Default: 50.
    pub chunk_size: u64,

    /// The maximum number of jobs of one batch. If a batch would need more, its jobs get larger. A
    /// request may ask for a lower maximum, not for a higher one. 1 to 100,000. Default: 1,000.
    pub max_jobs_per_batch: u64,

    /// The maximum number of items of one job. A request that would need larger jobs is refused. 1
    /// to 1,000,000. Default: 10,000.
    pub max_items_per_job: u64,

    /// The maximum number of items of one batch. 1 to 1,099,511,627,776 (2 to the power of 40).
    /// Default: 10,000,000.
    pub max_quantity: u64,

    /// The number of tries of a chunk within one attempt before it counts as failed. The first
    /// chunk of a job may be tried once more, together with the claim. 1 to 100. Default: 3.
    pub chunk_tries: u32,

    /// The delay after a chunk's first failure. It doubles with each further one, up to 10 seconds.
    /// Random jitter shortens it by up to a half. 0 to 30 days. Default: `"100ms"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub chunk_backoff: Duration,

    /// The number of crashes of a job's worker that are tolerated without a new item. The next one
    /// fails the job. Default: 5.
    pub max_crashes: u32,

    /// The interval of searching the ledger for jobs that are in no queue. Random jitter of up to a
    /// tenth is added or subtracted. A longer interval means less load on the database; a shorter
    /// one finds sooner what another process accepted. 100 milliseconds to 30 days. Default:
    /// `"10s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub feed_interval: Duration,

    /// The pause between two pages of jobs that are added to the queue. 0 to 30 days. Default:
    /// `"0s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub feed_pause: Duration,

    /// The maximum number of requests that read from the database at a time. Lists may use half of
    /// it, and at most half the number of processors, but at least 1. A request beyond the maximum
    /// waits for up to one second (a list: two), and is then answered with 503 and `Retry-After`.
    /// In PostgreSQL, keep it well below `request_connections`, so that writes always find a
    /// connection. 1 to 1,000. Default: 4.
    pub concurrent_reads: u32,

    /// The number of batches that are fed into the queue at a time: half of them the oldest ones,
    /// half those with the fewest open jobs. If the batches are very small, more of them are fed.
    /// With a smaller window, batches finish one after the other; with a larger one, they advance
    /// together. 1 to 10,000. Default: 64.
    pub feed_window: u64,

    /// The maximum number of jobs of one batch in the queue. 1 to `queued`. Default: 1,000.
    pub queued_per_batch: u64,

    /// The maximum number of jobs in the queue. The next 100 jobs to run are always added, even if
    /// the queue is full. Delayed jobs are not counted. Their maximum is the same number,
    /// separately. 1 to 1,000,000. Default: 10,000.
    pub queued: u64,

    /// How long a shutdown may take to finish running chunks and to release their jobs. Keep it
    /// below the stop timeout of the service manager. 0 to 30 days. Default: `"25s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub drain: Duration,

    /// How long one call of a hook may take. It can't interrupt a finish hook in SQLite. 1
    /// millisecond to 30 days. Default: `"30s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub hook_timeout: Duration,

    /// The interval at which the gauges among the metrics are read: the counts of the whole ledger,
    /// which every process reads, and those of this process. `"0s"` reads none of them. Without the
    /// feature `metrics` it has no effect. 0, or 1 second to 30 days. Default: `"15s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub metrics_interval: Duration,

    /// How long the history of a finished batch is kept: `"90days"`, or `"forever"`. After that,
    /// the rows of its jobs and of hooks whose last call failed are deleted in small portions. The
    /// items, counts and times of the batch stay, but its failed jobs can no longer be listed or
    /// retried. 1 second to 10 years. Default: `"forever"`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub keep_history: KeepSetting,

    /// How long the entries of the audit are kept: `"10years"`, or `"forever"`, as long as their
    /// batch. After that, they are deleted in small portions. 1 second to 10 years. Default:
    /// `"forever"`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub keep_audit: KeepSetting,

    /// Whether the audit has the address from which a batch was changed, as Rocket's
    /// `Request::client_ip` returns it. It is personal data. Behind a proxy, set Rocket's
    /// `ip_header` as well. Default: `false`.
    pub audit_addresses: bool,

    /// The secret key from which codes are computed: 32 hex digits. Without one, a random key is
    /// generated at the first launch and stored in the ledger. Default: none.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<String>")]
    pub code_key: Option<Secret>,

    /// Whether the items table has an index on the code. Useful if your own SQL finds items by
    /// their code; this crate does not need it, and inserting takes at least twice as long with
    /// it. The index is created or dropped at the next launch; in PostgreSQL other processes keep
    /// inserting meanwhile. If you partitioned that table, create an index on `code` of each
    /// partition first, with `CREATE INDEX CONCURRENTLY`: the launch only joins them. Otherwise it
    /// stops inserts while it builds them. Default: `false`.
    pub index_codes: bool,

    /// The queue `generate-product-batch-items`, which runs the jobs.
    pub generate: QueueSettings,

    /// The queue `update-batch-status`, which closes batches and calls hooks. Default: 5 at a time,
    /// no rate limit, 5 completed and 3 failed kept.
    pub status: QueueSettings,

    /// The Redis server of the queues. Without one, the queues are in the process.
    pub redis: RedisSettings,
}

impl Default for Config {
    #[rustfmt::skip] // It is as long as there are settings.
    fn default() -> Self {
        Self {
            base: "/batches".into(),
            role: Role::All,
            testing: false, docs: true, dashboard: DashboardSettings::default(),
            allowed_origins: Vec::new(),
            batch_size: 100,
            chunk_size: 50,
            max_jobs_per_batch: Limits::DEFAULT.max_jobs_per_batch,
            max_items_per_job: Limits::DEFAULT.max_items_per_job,
            max_quantity: Limits::DEFAULT.max_quantity,
            chunk_tries: 3,
            chunk_backoff: Duration::from_millis(100),
            max_crashes: 5,
            feed_interval: Duration::from_secs(10),
            feed_pause: Duration::ZERO, metrics_interval: Duration::from_secs(15),
            concurrent_reads: 4,
            feed_window: 64,
            queued_per_batch: 1_000,
            queued: 10_000,
            drain: Duration::from_secs(25),
            hook_timeout: Duration::from_secs(30),
            keep_history: KeepSetting(None), keep_audit: KeepSetting(None), audit_addresses: false,
            code_key: None,
            index_codes: false,
            generate: QueueSettings::default(),
            status: QueueSettings::status_defaults(),
            redis: RedisSettings::default(),
        }
    }
}

impl Config {
    /// Reads the settings from `host`, the figment of a Rocket, and from the environment. With
    /// [`testing`](Self::testing) in `host`, the environment is not read. Does not check the
    /// values; see [`check`](Self::check).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an unknown key, a value of the wrong type, a text in place of the table
    /// `batch` or `databases.batch`, or an environment variable whose name is almost that of a
    /// setting. It names the key, the value and their source.
    pub fn from(host: &Figment) -> Result<Self, ConfigError> {
        let defaults = Self::default();
        sources::merge(&defaults, host)?.extract().map_err(|error| ConfigError::of_value(error, &defaults))
    }

    /// Checks the values of all settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_numbers()?;
        self.check_durations()?;
        check_kept("keep_history", self.keep_history)?;
        check_kept("keep_audit", self.keep_audit)?;
        self.check_base()?;
        self.check_allowed_origins()?;
        self.dashboard.check()?;
        self.code_key()?;
        self.generate.check("generate")?;
        self.status.check("status")?;
        self.redis.check()
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        check_range("max_quantity", self.max_quantity, 1, 1 << 40)?;
        check_range("max_items_per_job", self.max_items_per_job, 1, 1_000_000)?;
        check_range("max_jobs_per_batch", self.max_jobs_per_batch, 1, Limits::MAX_JOBS)?;
        check_range("batch_size", self.batch_size, 1, self.max_items_per_job)?;
        check_range("chunk_size", self.chunk_size, 1, 10_000)?;
        check_range("chunk_tries", self.chunk_tries.into(), 1, 100)?;
        check_range("concurrent_reads", self.concurrent_reads.into(), 1, 1_000)?;
        check_range("feed_window", self.feed_window, 1, 10_000)?;
        check_range("queued", self.queued, 1, 1_000_000)?;
        check_range("queued_per_batch", self.queued_per_batch, 1, self.queued)
    }

    fn check_durations(&self) -> Result<(), ConfigError> {
        check_duration("feed_interval", self.feed_interval, Duration::from_millis(100))?;
        check_duration("feed_pause", self.feed_pause, Duration::ZERO)?;
        check_duration("chunk_backoff", self.chunk_backoff, Duration::ZERO)?;
        check_duration("drain", self.drain, Duration::ZERO)?;
        if !self.metrics_interval.is_zero() {
            check_duration("metrics_interval", self.metrics_interval, Duration::from_secs(1))?;
        }
        check_duration("hook_timeout", self.hook_timeout, Duration::from_millis(1))
    }

    fn check_base(&self) -> Result<(), ConfigError> {
        let parsed = rocket::http::uri::Origin::parse(&self.base);
        let is_plain = parsed.is_ok_and(|origin| origin.query().is_none() && origin.path() != "/");
        if is_plain && !self.base.ends_with('/') {
            return Ok(());
        }
        let rule = "must be a path below `/`, without parameters and without a slash at the end";
        Err(ConfigError::new("base", format!("{rule}, but is {:?}; try \"/batches\"", self.base)))
    }

    fn check_allowed_origins(&self) -> Result<(), ConfigError> {
        let Some(wrong) = self.allowed_origins.iter().find(|entry| Origin::parse(entry).is_none()) else {
            return Ok(());
        };
        let reason = format!(
            "must each be `scheme://host[:port]`, without a path or a slash at the end, but one is {wrong:?}; try \
             [\"https://shop.example\"]"
        );
        Err(ConfigError::new("allowed_origins", reason))
    }

    /// The parsed `allowed_origins`.
    pub(crate) fn allowed_origins(&self) -> impl Iterator<Item = Origin> {
        self.allowed_origins.iter().filter_map(|entry| Origin::parse(entry))
    }

    /// The parsed `code_key`, if one is set.
    pub(crate) fn code_key(&self) -> Result<Option<CodeKey>, ConfigError> {
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
