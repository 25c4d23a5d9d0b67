//! Ignition: opens the database and the queues, and creates the service and the workers. Everything
//! that can fail in a launch fails here.

use std::sync::{Arc, atomic::AtomicU64};

use rocket::{
    Build, Rocket,
    figment::{Figment, providers::Serialized},
};
use rocket_db_pools::Pool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "metrics")]
use super::metrics::{self, ProcessMetrics};
use super::{builder::BatchFairing, host_rows::LedgerParts, setup::prepare_tables};
#[cfg(feature = "prometheus")]
use crate::telemetry::Exporter;
use crate::{
    config::{self, Config, RedisSettings},
    domain::{CodeKey, CodeScheme},
    http::{self, Check, Rights},
    ledger::{BatchDb, BatchPool, BoxError, Estimator, HostTransactions, Ledger, Outage, Rules},
    queue::Queues,
    service::{BatchService, HookContext, LateContext, Parts, Reads, WorkerCheck},
    trace::Traces,
    worker::{
        BatchLog, CodeParametersCache, Context, FinishedJobs, Hooks, LaunchSummary, Presence, Runtime, Summaries,
        Wakeup,
    },
};

/// What a successful ignition creates.
pub(super) struct Ignited {
    pub plugin: Plugin,
    pub service: BatchService,
    pub db: BatchDb,
    pub rights: Rights,
}

/// What liftoff and shutdown need.
pub(super) struct Plugin {
    pub runtime: Runtime,
    pub hook_context: HookContext,
    pub ledger: Arc<dyn Ledger>,
    pub queues: Queues,
    pub config: Arc<Config>,
    pub draining: CancellationToken,
    #[cfg(feature = "metrics")]
    pub metrics: ProcessMetrics,
}

/// The open database, and what it stores.
struct Store {
    pool: BatchPool,
    ledger: Arc<dyn Ledger>,
    codes: CodeScheme,
    /// The context of the item writer and the finish hook, which is set when there is a service.
    context: LateContext,
}

impl BatchFairing {
    /// Runs the ignition. Checks the host's code first, then its settings, then its servers.
    pub(super) async fn ignite(&self, rocket: &Rocket<Build>) -> Result<Ignited, BoxError> {
        if BatchService::fetch(rocket).is_some() {
            return Err("the fairing is attached twice; attach it once".into());
        }
        let rights = self.rights()?;
        let config = Arc::new(self.settings(rocket.figment())?);
        let store = self.open(rocket.figment(), &config).await?;
        prepare_tables(&self.ledger_ready, &store.pool).await?;
        let queues = Queues::open(&config, &store.ledger.identity().await?).await?;
        #[cfg(feature = "metrics")]
        let (store, queues) = counted(store, queues);
        #[cfg(feature = "prometheus")]
        let rights = self.with_metrics(rights);
        let mut context = context(&config, &store, &queues);
        context.traces = Traces::new(self.propagator.clone());
        let service = service(&context, &store.pool, &rights);
        let hook_context = HookContext::new(service.clone(), store.pool.clone());
        store.context.set(&hook_context);
        context.hooks = self.hooks.with_context(&hook_context);
        context.host = hook_context.keep_alive();
        let plugin = plugin(context, store.pool.clone(), hook_context, queues);
        Ok(Ignited { plugin, service, db: BatchDb::from(store.pool), rights })
    }

    fn rights(&self) -> Result<Rights, BoxError> {
        Ok(Rights {
            read: guarded("read", self.read.as_ref())?,
            write: guarded("write", self.write.as_ref())?,
            scheme: self.scheme.clone(),
            actor: self.actor.clone(),
            #[cfg(feature = "prometheus")]
            metrics: None,
        })
    }

    /// Adds the metrics of the process, unless the host has a recorder of its own.
    #[cfg(feature = "prometheus")]
    fn with_metrics(&self, rights: Rights) -> Rights {
        let check = self.metrics.clone().unwrap_or_else(|| rights.read.clone());
        let served = |exporter: Exporter| http::Metrics { check, render: Arc::new(move || exporter.render()) };
        Rights { metrics: Exporter::install().map(served), ..rights }
    }

    pub(super) fn settings(&self, host: &Figment) -> Result<Config, BoxError> {
        let mut config = Config::from(host)?;
        self.configure.iter().for_each(|change| change(&mut config));
        if config.testing {
            config.redis = RedisSettings::default();
        }
        config.check()?;
        Ok(config)
    }

    async fn open(&self, host: &Figment, config: &Config) -> Result<Store, BoxError> {
        let pool = BatchPool::init(&database_settings(host, config)).await?;
        check_memory(&pool, config)?;
        let rules = Rules { max_crashes: config.max_crashes, hooks: self.hooks.kinds() };
        let context = LateContext::default();
        let ledger = self.host_rows.ledger(&pool, &LedgerParts { rules, config, context: &context })?;
        let codes = code_scheme(config, &*ledger).await?;
        Ok(Store { pool, ledger, codes, context })
    }
}

/// The same store and queues, with counted calls.
#[cfg(feature = "metrics")]
fn counted(store: Store, queues: Queues) -> (Store, Queues) {
    let queues = metrics::counted_queues(queues);
    (Store { ledger: metrics::counted_ledger(store.ledger, &queues), ..store }, queues)
}

fn plugin(context: Context, pool: BatchPool, hook_context: HookContext, queues: Queues) -> Plugin {
    Plugin {
        #[cfg(feature = "metrics")]
        metrics: ProcessMetrics::new(&context, &pool),
        ledger: context.ledger.clone(),
        config: context.config.clone(),
        draining: context.draining.clone(),
        hook_context,
        queues,
        runtime: {
            let summary = LaunchSummary::new(&context.config, pool.place());
            Runtime::new(context, summary)
        },
    }
}

/// What the workers share, without the hooks of the host.
fn context(config: &Arc<Config>, store: &Store, queues: &Queues) -> Context {
    let presence = Presence::new(config.role);
    Context {
        ledger: store.ledger.clone(),
        generate: queues.generate.clone(),
        status: queues.status.clone(),
        codes: store.codes.clone(),
        config: config.clone(),
        hooks: Hooks::default(),
        host: Arc::new(()),
        estimator: Arc::new(Estimator::new(store.ledger.clone())),
        code_parameters: CodeParametersCache::default(),
        finished_jobs: FinishedJobs::default(),
        summaries: Summaries::new(presence.process),
        batch_log: BatchLog::default(),
        presence,
        delayed: AtomicU64::new(0),
        wakeup: Arc::new(Wakeup::default()),
        draining: CancellationToken::new(),
        outage: Arc::new(Outage::default()),
        live: Arc::default(),
        standby: Arc::default(),
        refusing: Arc::default(),
        finished: Arc::new(Notify::new()),
        hook_ended: Arc::new(Notify::new()),
        traces: Traces::default(),
    }
}
/// The check for the right to `verb`.
fn guarded(verb: &str, check: Option<&Check>) -> Result<Check, BoxError> {
    let missing = || {
        format!(
            "no {verb} guard is configured; add `.guard::<YourGuard>()`, `.{verb}_guard::<YourGuard>()`, \
             `.authorize(..)` or `.public()`"
        )
    };
    Ok(check.cloned().ok_or_else(missing)?)
}

/// The service, which shares its state with the workers.
fn service(workers: &Context, pool: &BatchPool, rights: &Rights) -> BatchService {
    let wakeup = workers.wakeup.clone();
    BatchService::new(Parts {
        ledger: workers.ledger.clone(),
        reads: Reads::new(workers.config.concurrent_reads),
        host_transactions: HostTransactions::new(pool),
        generate: workers.generate.clone(),
        codes: workers.codes.clone(),
        config: workers.config.clone(),
        estimator: workers.estimator.clone(),
        wake: Box::new(move |batch| batch.map_or_else(|| wakeup.wake(), |batch| wakeup.batch(batch))),
        openapi: http::document(&workers.config, &rights.security()),
        draining: workers.draining.clone(),
        outage: workers.outage.clone(),
        live: workers.live.clone(),
        standby: workers.standby.clone(),
        worker_check: WorkerCheck::default(),
        finished: workers.finished.clone(),
        hook_ended: workers.hook_ended.clone(),
        traces: workers.traces.clone(),
    })
}

/// Refuses a ledger in memory with queues in Redis: no other process can share the ledger, and the
/// next launch would find the jobs of a ledger that no longer exists.
fn check_memory(pool: &BatchPool, config: &Config) -> Result<(), BoxError> {
    match config.redis.address_for_messages() {
        Some(server) if pool.is_in_memory() => Err(format!(
            "`databases.batch.url` keeps the ledger in memory, which ends with this process, but its jobs would stay \
             in \
             {server}; name a file, such as \"sqlite://batch.db\", or remove the Redis settings (`batch.redis`, \
             REDIS_HOST)"
        )
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// The settings of the database with the default URL, and the settings that the pool needs.
fn database_settings(host: &Figment, config: &Config) -> Figment {
    config::database(host, config.testing)
        .join(Serialized::default("url", "sqlite://batch.db"))
        .merge(Serialized::default("index_codes", config.index_codes))
        .merge(Serialized::default("batch_size", config.batch_size))
        .merge(Serialized::default("max_quantity", config.max_quantity))
        .merge(Serialized::default("max_jobs_per_batch", config.max_jobs_per_batch))
        .merge(Serialized::default("max_items_per_job", config.max_items_per_job))
}

/// The code scheme with the key from the settings. Without one, a random key is generated at the
/// first launch and stored in the ledger.
async fn code_scheme(config: &Config, ledger: &dyn Ledger) -> Result<CodeScheme, BoxError> {
    if let Some(key) = config.code_key()? {
        return Ok(CodeScheme::new(&key));
    }
    let mut candidate = [0; 16];
    getrandom::fill(&mut candidate)
        .map_err(|error| format!("the operating system provides no random numbers: {error}"))?;
    Ok(CodeScheme::new(&ledger.code_key(CodeKey::from_bytes(candidate)).await?))
}
