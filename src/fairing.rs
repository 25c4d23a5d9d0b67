//! Wires it all; the only file that sees everything.
//!
//! ```text
//!   ignite    settings ──▶ pool ──▶ ledger ──▶ queues ──▶ service ──▶ routes        whatever can fail, fails here
//!   liftoff   workers start, or stand by
//!   shutdown  fetch nothing, end running chunks, give the rest back, close the pool last
//! ```

use std::sync::{Arc, atomic::AtomicU64};

use rocket::{
    Build, Orbit, Request, Rocket,
    fairing::{self, Fairing, Info, Kind},
    figment::{Figment, providers::Serialized},
    futures::future::BoxFuture,
    http::Status,
    request::FromRequest,
};
use rocket_db_pools::Pool;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    domain::{BatchFinished, CodeKey, CodeScheme, JobEnded, error_chain},
    http::{self, Right, Rights},
    ledger::{BatchDb, BatchPool, BoxError, Estimator, Ledger, Outage, Rules},
    queue::Queues,
    service::{BatchService, Parts, Reads},
    worker::{Context, Ends, Hooks, Recipes, Runtime, Summaries, Wakeup, callback},
};

/// The plugin. [`Batch::fairing`] makes the one fairing there is.
#[derive(Debug, Clone, Copy)]
pub struct Batch;

impl Batch {
    /// The fairing that a host attaches. Say who may call with [`guard`](BatchFairing::guard) or
    /// one of its kin; without, the launch fails.
    ///
    /// ```
    /// use rocket_batch::Batch;
    ///
    /// let rocket = rocket::build().attach(Batch::fairing().public());
    /// ```
    pub fn fairing() -> BatchFairing {
        BatchFairing {
            read: None,
            write: None,
            scheme: http::SecurityScheme::default(),
            actor: None,
            configure: Vec::new(),
            hooks: Hooks::default(),
            item_writers: ItemWriters::default(),
        }
    }

    /// The OpenAPI 3.1 document of the routes as they are by default, for a host that merges it
    /// into a document of its own. What a process really serves, with its settings and its
    /// security, is at `openapi.json` below its base.
    ///
    /// ```
    /// use rocket_batch::Batch;
    ///
    /// let document = Batch::openapi();
    /// assert_eq!(document["paths"]["/batches/{id}"]["get"]["operationId"], "getBatch");
    /// ```
    #[must_use]
    pub fn openapi() -> serde_json::Value {
        http::document(&Config::default(), &http::Security::default())
    }
}

/// Of each database one, since a host may be configured for either.
#[derive(Default)]
struct ItemWriters {
    #[cfg(feature = "sqlite")]
    sqlite: Option<Arc<dyn crate::sqlite::ItemWriter>>,
    #[cfg(feature = "postgres")]
    postgres: Option<Arc<dyn crate::postgres::ItemWriter>>,
}

type Configure = Box<dyn Fn(&mut Config) + Send + Sync>;

/// Mounts the routes, works in the background, drains at shutdown. Made by [`Batch::fairing`].
///
/// For each right and each kind of hook the last word counts.
#[must_use = "a fairing does nothing until it is attached"]
pub struct BatchFairing {
    read: Option<http::Check>,
    write: Option<http::Check>,
    scheme: http::SecurityScheme,
    actor: Option<http::Actor>,
    configure: Vec<Configure>,
    hooks: Hooks,
    item_writers: ItemWriters,
}

impl BatchFairing {
    /// Who passes `G` may read and write. `G` is any request guard of the host without a lifetime.
    /// It protects the crate's routes; handlers of the host that use [`BatchService`] have guards
    /// of their own.
    pub fn guard<G>(self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.read_guard::<G>().write_guard::<G>()
    }

    /// Who passes `G` may read.
    pub fn read_guard<G>(mut self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.read = Some(http::by_guard::<G>());
        self
    }

    /// Who passes `G` may create, retry, cancel, pause and resume.
    pub fn write_guard<G>(mut self) -> Self
    where
        G: for<'r> FromRequest<'r> + Send + 'static,
    {
        self.write = Some(http::by_guard::<G>());
        self
    }

    /// Asks the host for each request; for guards that borrow, and for rules of another kind.
    ///
    /// ```
    /// use rocket::{Request, http::Status};
    /// use rocket_batch::{Batch, Right};
    ///
    /// let fairing = Batch::fairing().authorize(|request: &Request<'_>, right| {
    ///     let known = request.headers().get_one("Authorization").is_some();
    ///     Box::pin(async move { if known || right == Right::Read { Ok(()) } else { Err(Status::Unauthorized) } })
    /// });
    /// ```
    pub fn authorize<F>(mut self, ask: F) -> Self
    where
        F: for<'a> Fn(&'a Request<'_>, Right) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
    {
        let ask = Arc::new(ask);
        self.read = Some(http::by_closure(ask.clone(), Right::Read));
        self.write = Some(http::by_closure(ask, Right::Write));
        self
    }

    /// Anybody may read and write. For hosts that nobody else can reach.
    pub fn public(mut self) -> Self {
        self.read = Some(http::Check::Open);
        self.write = Some(http::Check::Open);
        self
    }

    /// Tells readers of the OpenAPI document how callers show who they are: a security scheme under
    /// a name of yours. Default: a bearer token in the header `Authorization`.
    ///
    /// ```
    /// use rocket_batch::Batch;
    /// use serde_json::json;
    ///
    /// let by_key = json!({ "type": "apiKey", "in": "header", "name": "X-Api-Key" });
    /// let fairing = Batch::fairing().security_scheme("key", by_key);
    /// ```
    pub fn security_scheme(mut self, name: impl Into<String>, scheme: serde_json::Value) -> Self {
        self.scheme = http::SecurityScheme { name: name.into(), scheme };
        self
    }

    /// Says who sends a request: the id of a user, of a tenant, of an access key. Each has
    /// `Idempotency-Key`s of its own; without this, and where it answers `None`, all callers share
    /// theirs. Asked after the right to write was granted. Only a hash of the answer is kept.
    ///
    /// ```
    /// use rocket::Request;
    /// use rocket_batch::Batch;
    ///
    /// let fairing = Batch::fairing().public().actor(|request: &Request<'_>| -> Option<String> {
    ///     request.headers().get_one("X-Tenant").map(str::to_owned)
    /// });
    /// ```
    pub fn actor(mut self, name: impl Fn(&Request<'_>) -> Option<String> + Send + Sync + 'static) -> Self {
        self.actor = Some(Arc::new(name));
        self
    }

    /// Writes the rows of new items into a table of the host's as well, in the transaction that
    /// inserts them: both or neither, once each.
    ///
    /// For a ledger in SQLite; what the writer may do, and what becomes of its errors and panics,
    /// stands at [`sqlite::ItemWriter`](crate::sqlite::ItemWriter).
    ///
    /// ```
    /// use rocket_batch::{
    ///     Batch, BoxError, NewItemRow,
    ///     sqlite::rusqlite::Connection,
    /// };
    ///
    /// fn stock(transaction: &Connection, items: &[NewItemRow<'_>]) -> Result<(), BoxError> {
    ///     let mut insert = transaction.prepare_cached("INSERT INTO products (batch, place, code) VALUES (?1, ?2, ?3)")?;
    ///     for item in items {
    ///         insert.execute((item.batch_id.get(), item.ordinal, item.code))?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let fairing = Batch::fairing().public().sqlite_item_writer(stock);
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn sqlite_item_writer(mut self, writer: impl crate::sqlite::ItemWriter) -> Self {
        self.item_writers.sqlite = Some(Arc::new(writer));
        self
    }

    /// Writes the rows of new items into a table of the host's as well, in the transaction that
    /// inserts them: both or neither, once each.
    ///
    /// For a ledger in PostgreSQL; what the writer may do, and what becomes of its errors and
    /// panics, stands at [`postgres::ItemWriter`](crate::postgres::ItemWriter). With one, a chunk
    /// takes a few round trips instead of one.
    ///
    /// ```
    /// use rocket::futures::{FutureExt, future::BoxFuture};
    /// use rocket_batch::{Batch, BoxError, NewItemRow, postgres::tokio_postgres::Transaction};
    ///
    /// fn stock<'a>(transaction: &'a Transaction<'_>, items: &'a [NewItemRow<'a>]) -> BoxFuture<'a, Result<(), BoxError>> {
    ///     async move {
    ///         let codes: Vec<_> = items.iter().map(|item| item.code).collect();
    ///         transaction.execute("INSERT INTO shop.products (code) SELECT unnest($1::text[])", &[&codes]).await?;
    ///         Ok(())
    ///     }
    ///     .boxed()
    /// }
    ///
    /// let fairing = Batch::fairing().public().postgres_item_writer(stock);
    /// ```
    #[cfg(feature = "postgres")]
    pub fn postgres_item_writer(mut self, writer: impl crate::postgres::ItemWriter) -> Self {
        self.item_writers.postgres = Some(Arc::new(writer));
        self
    }

    /// Has the last word on the settings: after the file and the environment, before the check.
    /// Closures run in the order they are given.
    pub fn configure(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Is called, at least once, for each batch that is over, also after a cancel. An error, a
    /// panic or a call that takes longer than `hook_timeout` is tried again, `status.attempts`
    /// times in all.
    pub fn on_batch_finished<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(BatchFinished) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.batch_finished = Some(callback(hook));
        self
    }

    /// Is called, at least once, for each job that was given up, as
    /// [`BatchFairing::on_batch_finished`] is.
    pub fn on_job_failed<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(JobEnded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.job_failed = Some(callback(hook));
        self
    }

    /// Is called, at least once, for each job that was completed, as
    /// [`BatchFairing::on_batch_finished`] is. Costs a row and a task a job.
    pub fn on_job_completed<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(JobEnded) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.hooks.job_completed = Some(callback(hook));
        self
    }
}

/// What the shutdown needs.
struct Plugin {
    runtime: Runtime,
    ledger: Arc<dyn Ledger>,
    queues: Queues,
    config: Arc<Config>,
    draining: CancellationToken,
}

#[rocket::async_trait]
impl Fairing for BatchFairing {
    fn info(&self) -> Info {
        Info { name: "Batch", kind: Kind::Ignite | Kind::Liftoff | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match self.ignite(&rocket).await {
            Ok((plugin, service, db, rights)) => {
                let config = plugin.config.clone();
                let rocket = manage_redis(rocket, &plugin.queues);
                Ok(http::mount(rocket.manage(plugin).manage(service).manage(db), rights, &config))
            }
            Err(why) => {
                tracing::error!("Batch: {}", error_chain(&*why));
                Err(rocket)
            }
        }
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let plugin = rocket.state::<Plugin>().expect("managed at ignition");
        let (shutdown, draining) = (rocket.shutdown(), plugin.draining.clone());
        rocket::tokio::spawn(async move {
            shutdown.await;
            draining.cancel();
        });
        plugin.runtime.start();
    }

    async fn on_shutdown(&self, rocket: &Rocket<Orbit>) {
        let plugin = rocket.state::<Plugin>().expect("managed at ignition");
        let deadline = Instant::now() + plugin.config.drain;
        plugin.runtime.drain(deadline).await;
        if tokio::time::timeout_at(deadline, plugin.ledger.shutdown()).await.is_err() {
            tracing::warn!("the database could not be closed in time");
        }
        plugin.queues.close().await;
    }
}

/// The database, and what is kept in it.
struct Store {
    pool: BatchPool,
    ledger: Arc<dyn Ledger>,
    codes: CodeScheme,
}

type Ignited = (Plugin, BatchService, BatchDb, Rights);

impl BatchFairing {
    /// Everything that can fail, in the order in which a host would want to hear of it.
    async fn ignite(&self, rocket: &Rocket<Build>) -> Result<Ignited, BoxError> {
        if BatchService::fetch(rocket).is_some() {
            return Err("the fairing is attached twice; attach it once".into());
        }
        let rights = self.rights()?;
        let config = Arc::new(self.settings(rocket.figment())?);
        let store = self.open(rocket.figment(), &config).await?;
        let queues = Queues::open(&config).await?;
        let (plugin, service) = self.wire(config, &store, queues);
        Ok((plugin, service, BatchDb::from(store.pool), rights))
    }

    fn rights(&self) -> Result<Rights, BoxError> {
        match (self.read.clone(), self.write.clone()) {
            (Some(read), Some(write)) => {
                Ok(Rights { read, write, scheme: self.scheme.clone(), actor: self.actor.clone() })
            }
            (read, _) => {
                let verb = if read.is_none() { "read" } else { "write" };
                Err(format!("nobody is said to {verb}; add .guard::<YourGuard>(), .{verb}_guard::<..>(), .authorize(..) or .public()").into())
            }
        }
    }

    fn settings(&self, host: &Figment) -> Result<Config, BoxError> {
        let mut config = Config::from(host)?;
        self.configure.iter().for_each(|change| change(&mut config));
        config.check()?;
        Ok(config)
    }

    async fn open(&self, host: &Figment, config: &Config) -> Result<Store, BoxError> {
        let pool = BatchPool::init(&database(host, config)).await?;
        let ledger = self.ledger(&pool, config)?;
        let codes = code_scheme(config, &*ledger).await?;
        Ok(Store { pool, ledger, codes })
    }

    fn ledger(&self, pool: &BatchPool, config: &Config) -> Result<Arc<dyn Ledger>, BoxError> {
        let rules = Rules { max_crashes: config.max_crashes, hooks: self.hooks.kinds() };
        match pool {
            #[cfg(feature = "sqlite")]
            BatchPool::Sqlite(pool) => self.item_writers.sqlite_ledger(pool.clone(), rules),
            #[cfg(feature = "postgres")]
            BatchPool::Postgres(pool) => self.item_writers.postgres_ledger(pool.clone(), rules),
        }
    }

    fn wire(&self, config: Arc<Config>, store: &Store, queues: Queues) -> (Plugin, BatchService) {
        let (ledger, codes) = (store.ledger.clone(), store.codes.clone());
        let estimator = Arc::new(Estimator::new(ledger.clone()));
        let cx = Context {
            ledger: ledger.clone(),
            generate: queues.generate.clone(),
            status: queues.status.clone(),
            codes: codes.clone(),
            config: config.clone(),
            hooks: self.hooks.clone(),
            estimator: estimator.clone(),
            recipes: Recipes::default(),
            ends: Ends::default(),
            summaries: Summaries::default(),
            delayed: AtomicU64::new(0),
            wakeup: Arc::new(Wakeup::default()),
            draining: CancellationToken::new(),
            outage: Arc::new(Outage::default()),
            ended: Arc::new(Notify::new()),
        };
        let (wakeup, draining) = (cx.wakeup.clone(), cx.draining.clone());
        let service = BatchService::new(Parts {
            ledger: ledger.clone(),
            reads: Reads::new(config.concurrent_reads),
            #[cfg(feature = "postgres")]
            host_transactions: store.pool.host_transactions(),
            generate: cx.generate.clone(),
            codes,
            config: config.clone(),
            estimator,
            wake: Box::new(move |batch| batch.map_or_else(|| wakeup.wake(), |batch| wakeup.batch(batch))),
            draining: draining.clone(),
            outage: cx.outage.clone(),
            ended: cx.ended.clone(),
        });
        (Plugin { runtime: Runtime::new(cx), ledger, queues, config, draining }, service)
    }
}

/// Gives the host its way to Redis, where the queues are there.
#[cfg(feature = "redis")]
fn manage_redis(rocket: Rocket<Build>, queues: &Queues) -> Rocket<Build> {
    match queues.redis() {
        Some(redis) => rocket.manage(redis),
        None => rocket,
    }
}

#[cfg(not(feature = "redis"))]
fn manage_redis(rocket: Rocket<Build>, _: &Queues) -> Rocket<Build> {
    rocket
}

impl ItemWriters {
    #[cfg(feature = "sqlite")]
    fn sqlite_ledger(
        &self,
        pool: crate::ledger::sqlite::SqlitePool,
        rules: Rules,
    ) -> Result<Arc<dyn Ledger>, BoxError> {
        #[cfg(feature = "postgres")]
        if self.sqlite.is_none() && self.postgres.is_some() {
            return Err(
                "the ledger is in SQLite, and the item writer is for PostgreSQL; add .sqlite_item_writer(..)".into()
            );
        }
        let ledger = crate::ledger::sqlite::SqliteLedger::new(pool, rules);
        Ok(match &self.sqlite {
            Some(writer) => Arc::new(ledger.with_item_writer(writer.clone())),
            None => Arc::new(ledger),
        })
    }

    #[cfg(feature = "postgres")]
    fn postgres_ledger(
        &self,
        pool: crate::ledger::postgres::PostgresPool,
        rules: Rules,
    ) -> Result<Arc<dyn Ledger>, BoxError> {
        #[cfg(feature = "sqlite")]
        if self.postgres.is_none() && self.sqlite.is_some() {
            return Err(
                "the ledger is in PostgreSQL, and the item writer is for SQLite; add .postgres_item_writer(..)".into(),
            );
        }
        let ledger = crate::ledger::postgres::PostgresLedger::new(pool, rules);
        Ok(match &self.postgres {
            Some(writer) => Arc::new(ledger.with_item_writer(writer.clone())),
            None => Arc::new(ledger),
        })
    }
}

/// `[default.databases.batch]`, with our default for the URL, and what else the pool must know.
fn database(host: &Figment, config: &Config) -> Figment {
    host.focus("databases.batch")
        .join(Serialized::default("url", "sqlite://batch.db"))
        .merge(Serialized::default("index_codes", config.index_codes))
        .merge(Serialized::default("batch_size", config.batch_size))
}

/// Codes are made with the key of the settings, or with one that is made once and kept in the
/// ledger.
async fn code_scheme(config: &Config, ledger: &dyn Ledger) -> Result<CodeScheme, BoxError> {
    if let Some(key) = config.code_key()? {
        return Ok(CodeScheme::new(&key));
    }
    let mut candidate = [0; 16];
    getrandom::fill(&mut candidate).map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(CodeScheme::new(&ledger.code_key(CodeKey::from_bytes(candidate)).await?))
}
