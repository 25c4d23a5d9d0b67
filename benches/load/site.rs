//! The servers that hosts share, and a new ledger on them.
//!
//! ```text
//!   Servers   Redis and PostgreSQL, or PostgreSQL, or none
//!      └─ Site   one ledger: a schema and the prefix of the queues, or a SQLite file
//!            └─ Host …   processes that share it
//! ```

#![allow(dead_code, reason = "each program uses a part of it")]

use std::sync::Arc;

use figment::Figment;
use rocket_batch::{
    domain::{CodeKey, CodeScheme},
    ledger::{
        HookKinds, Ledger, Rules,
        postgres::{PostgresLedger, PostgresPool},
        sqlite::{SqliteLedger, SqlitePool},
    },
};
use rocket_db_pools::Pool as _;
use tempfile::TempDir;

use crate::{
    figures::Result,
    host::Host,
    support::{
        plugin,
        postgres::{self, Server},
        redis::Redis,
    },
    work::{BatchOf, FILLERS, Filled},
};

/// The code key of all hosts, so that batches made without a host can be worked by one.
const CODE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Number of connections of a host in addition to its generate workers: for requests, the feeder,
/// and the status queue.
const OTHER_CONNECTIONS: u32 = 10;

/// The servers of a scenario, stopped when this is dropped.
pub struct Servers {
    postgres: Option<Server>,
    redis: Option<Redis>,
}

impl Servers {
    /// Redis, which appends to its file each second, and PostgreSQL, which flushes each commit.
    pub async fn redis_and_postgres() -> Self {
        let redis = Redis::with(&["--appendfsync", "everysec"]).await;
        Self { postgres: Some(Server::start()), redis: Some(redis) }
    }

    /// PostgreSQL; the queues are in the process.
    pub fn postgres() -> Self {
        Self { postgres: Some(Server::start()), redis: None }
    }

    /// None: the ledger is a file and the queues are in the process.
    pub const fn none() -> Self {
        Self { postgres: None, redis: None }
    }

    /// A fresh ledger and empty queues.
    pub fn site(&self) -> Result<Site<'_>> {
        Ok(Site { servers: self, folder: TempDir::new()?, name: postgres::a_schema() })
    }

    /// Changes how PostgreSQL flushes, for every session.
    pub async fn set_flush(&self, flush: Flush) -> Result<()> {
        let client = postgres::client(self.postgres_url()?).await;
        for (name, value) in flush.settings() {
            client.batch_execute(&format!("ALTER SYSTEM SET {name} = {value}")).await?;
        }
        Ok(client.batch_execute("SELECT pg_reload_conf()").await?)
    }

    /// Returns the number of deadlocks. A session reports its deadlocks when it ends, so call this
    /// after the hosts have exited.
    pub async fn deadlocks(&self) -> Result<i64> {
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        Ok(postgres::client(self.postgres_url()?).await.query_one(deadlocks, &[]).await?.get(0))
    }

    pub fn postgres_url(&self) -> Result<&str> {
        Ok(self.postgres.as_ref().ok_or("there is no PostgreSQL here")?.url())
    }

    pub fn redis(&self) -> Result<&Redis> {
        Ok(self.redis.as_ref().ok_or("there is no Redis here")?)
    }
}

/// How long PostgreSQL takes to flush a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// As long as the disk takes.
    AsItIs,
    /// 5 ms more, as on a disk in a network.
    Slowed,
}

impl Flush {
    /// `commit_delay` is in microseconds.
    const fn settings(self) -> [(&'static str, u32); 2] {
        match self {
            Self::AsItIs => [("commit_delay", 0), ("commit_siblings", 5)],
            Self::Slowed => [("commit_delay", 5_000), ("commit_siblings", 0)],
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::AsItIs => "as it is",
            Self::Slowed => "slowed by 5 ms",
        }
    }
}

/// The settings of a host that scenarios vary.
#[derive(Debug, Clone)]
pub struct Settings {
    concurrency: u32,
    others: Vec<(&'static str, String)>,
}

impl Settings {
    /// As many jobs at a time in a process, started as fast as they finish.
    pub fn unlimited(concurrency: u32) -> Self {
        Self::limited(concurrency).with("GENERATE__RATE_LIMIT", "off")
    }

    /// The same with the default rate limit.
    pub fn limited(concurrency: u32) -> Self {
        Self { concurrency, others: Vec::new() }.with("GENERATE__CONCURRENCY", concurrency)
    }

    /// One more setting, by its name in the environment after `ROCKET_BATCH__`.
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.others.push((name, value.to_string()));
        self
    }
}

/// A ledger and queues of its own, for hosts that share them.
pub struct Site<'a> {
    servers: &'a Servers,
    folder: TempDir,
    /// The name of the schema, and the prefix of the keys in Redis.
    name: String,
}

impl Site<'_> {
    /// Starts a host.
    pub async fn start(&self, settings: &Settings) -> Result<Host> {
        Host::start(self.folder.path(), &self.environment(settings)?).await
    }

    /// Starts several hosts, one after the other.
    pub async fn start_all(&self, processes: u32, settings: &Settings) -> Result<Vec<Host>> {
        let mut hosts = Vec::new();
        for _ in 0..processes {
            hosts.push(self.start(settings).await?);
        }
        Ok(hosts)
    }

    fn environment(&self, settings: &Settings) -> Result<Vec<(String, String)>> {
        let mut all = vec![
            ("ROCKET_DATABASES".to_owned(), self.database(settings.concurrency + OTHER_CONNECTIONS)?),
            ("ROCKET_BATCH__CODE_KEY".to_owned(), CODE_KEY.to_owned()),
        ];
        if let Some(redis) = &self.servers.redis {
            all.push(("REDIS_HOST".to_owned(), "127.0.0.1".to_owned()));
            all.push(("REDIS_PORT".to_owned(), redis.port.to_string()));
            all.push(("ROCKET_BATCH__REDIS__PREFIX".to_owned(), self.name.clone()));
        }
        all.extend(settings.others.iter().map(|(name, value)| (format!("ROCKET_BATCH__{name}"), value.clone())));
        Ok(all)
    }

    fn database(&self, connections: u32) -> Result<String> {
        Ok(match self.servers.postgres {
            None => format!("{{batch={{url=\"{}\"}}}}", self.file()),
            Some(_) => {
                let (url, schema) = (self.servers.postgres_url()?, &self.name);
                format!("{{batch={{url=\"{url}\",schema=\"{schema}\",max_connections={connections}}}}}")
            }
        })
    }

    fn file(&self) -> String {
        plugin::sqlite_url(self.folder.path())
    }

    /// Adds `count` batches to the ledger, before hosts start.
    pub async fn fill(&self, batch: BatchOf, count: u64, state: Filled) -> Result<()> {
        let ledger = self.ledger(FILLERS).await?;
        batch.fill(&ledger, count, state).await?;
        ledger.shutdown().await;
        Ok(())
    }

    /// The ledger itself, without a queue.
    pub async fn ledger(&self, connections: u32) -> Result<Arc<dyn Ledger>> {
        let rules = Rules { max_crashes: 5, hooks: HookKinds::default() };
        Ok(match self.servers.postgres {
            None => {
                let figment = Figment::new().join(("url", self.file()));
                Arc::new(SqliteLedger::new(SqlitePool::init(&figment).await?, rules))
            }
            Some(_) => {
                let figment = Figment::new()
                    .join(("url", self.servers.postgres_url()?))
                    .join(("schema", &self.name))
                    .join(("max_connections", connections));
                Arc::new(PostgresLedger::new(PostgresPool::init(&figment).await?, rules))
            }
        })
    }

    /// The rows of items; `None` where the ledger is not in PostgreSQL.
    pub async fn count_items(&self) -> Result<Option<u64>> {
        if self.servers.postgres.is_none() {
            return Ok(None);
        }
        let rows: i64 = self.postgres().await?.query_one("SELECT count(*) FROM items", &[]).await?.get(0);
        Ok(Some(rows.try_into()?))
    }

    /// A plain connection to the schema of the ledger.
    pub async fn postgres(&self) -> Result<tokio_postgres::Client> {
        let client = postgres::client(self.servers.postgres_url()?).await;
        client.batch_execute(&format!("SET search_path = {}", self.name)).await?;
        Ok(client)
    }

    /// Removes the ledger and the queues, and runs a checkpoint, so that every case starts in the
    /// same state.
    pub async fn remove(self) -> Result<()> {
        if self.servers.postgres.is_some() {
            let client = postgres::client(self.servers.postgres_url()?).await;
            client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE; CHECKPOINT", self.name)).await?;
        }
        if let Some(redis) = &self.servers.redis {
            redis.command(&["FLUSHALL"]).await;
        }
        Ok(())
    }
}

/// The code scheme of all hosts.
pub fn codes() -> CodeScheme {
    CodeScheme::new(&CodeKey::parse(CODE_KEY).expect("it has 32 hex digits"))
}
