//! The connections to the server, for verbs by their purpose, and for the host.
//!
//! ```text
//!   verb ──▶ connection ──▶ run ──┬─▶ result
//!                                 ├─▶ rolled back, or in doubt and repeatable: repeat it
//!                                 ├─▶ no response: drop the connection, and all idle ones
//!                                 └─▶ the future was dropped: continue as a task
//! ```
//!
//! The server enforces the timeout of a statement, and the pool awaits its response. So a
//! connection never returns to the pool in the middle of a statement. If there is no response at
//! all, not even a timeout, the pool drops the connection.

use std::{
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{BuildError, Client, Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use rocket::figment::Figment;
use rocket_db_pools::{Error, Pool};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use super::{
    address::{Address, Timeouts},
    code_index::CodeIndex,
    detach_on_drop::DetachOnDrop,
    error::{self, VerbError, message_of},
    migrate::migrate,
    search_path, tls,
};
use crate::domain::{Backoff, panic_message};
#[cfg(feature = "metrics")]
use crate::ledger::PoolUsage;
use crate::ledger::{
    error::{LedgerError, Result, failed},
    open::{OpenError, SchemaOptions},
    operation,
};

/// The connections to one PostgreSQL database. A clone is the same pool.
///
/// Configured in `[default.databases.batch]`:
///
/// ```toml
/// [default.databases.batch]
/// url = "postgres://shop:secret@db.example.com/shop?sslmode=verify-full"
/// schema = "rocket_batch"   # of the ledger's tables; created if there is none
/// max_connections = 10      # for workers and the feeder, and as many more for the host's handlers
/// request_connections = 8   # for callers of the service and its routes
/// connect_timeout = 5       # seconds to open a connection, or to wait for a free one
/// statement_timeout = 10    # seconds after which the server ends a statement
/// ```
///
/// `sslmode` is `disable`, `prefer`, `require` or `verify-full`. The default, `prefer`, encrypts if
/// the server supports it, and does not verify its certificate. `require` and `verify-full` both
/// need a certificate for the host's name, signed by an authority of the system or of the file
/// `sslrootcert`. Connect directly or through a pooler in session mode: the ledger uses session
/// settings and advisory locks.
#[derive(Clone)]
pub struct PostgresPool(Arc<Inner>);

struct Inner {
    /// For workers and the feeder.
    work: deadpool_postgres::Pool,
    /// For callers of the service.
    requests: deadpool_postgres::Pool,
    /// For probes, which must not fail because all other connections are busy.
    probe: deadpool_postgres::Pool,
    /// For the host, so that neither waits for the other.
    host: deadpool_postgres::Pool,
    address: Address,
    tls: MakeRustlsConnect,
    schema: Arc<str>,
    timeouts: Timeouts,
    /// The running verbs.
    running: TaskTracker,
}

/// The purpose of a verb. Each has its own connections, so that none waits for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Work,
    Requests,
    Probe,
}

/// A call of the ledger, which runs to completion.
pub(super) trait Verb: Send + Sync + 'static {
    /// The type of its result.
    type Output: Send + 'static;

    /// The operation, as a verb phrase.
    const OPERATION: &'static str;

    /// Whether it recognises its own effect. If so, it is repeated when the connection breaks
    /// before the response arrives.
    const REPEATABLE: bool = true;

    const LANE: Lane = Lane::Work;

    /// How long the host's code may take within it, in addition to the ledger's own statements.
    fn host_time(&self) -> Option<Duration> {
        None
    }

    fn run(&self, conn: &mut Client) -> impl Future<Output = error::Result<Self::Output>> + Send;
}

/// The host's access to the database of the ledger: a [`tokio_postgres`] client whose search path
/// is `public` and the ledger's schema.
///
/// Read the views `batch_batches`, `batch_jobs` and `batch_items`, which the guide describes under
/// [tables](crate::guide::tables); change batches through this crate only. An open transaction and
/// changed session settings are reset before the connection is used again.
pub struct PostgresConnection(Box<Client>);

impl Deref for PostgresConnection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for PostgresConnection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// The settings in `[default.databases.batch]`. Those of other databases are ignored.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    url: String,
    schema: String,
    max_connections: usize,
    request_connections: usize,
    connect_timeout: u64,
    statement_timeout: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            schema: "rocket_batch".into(),
            max_connections: 10,
            request_connections: 8,
            connect_timeout: 5,
            statement_timeout: 10,
        }
    }
}

#[async_trait]
impl Pool for PostgresPool {
    type Connection = PostgresConnection;
    type Error = Error<OpenError, LedgerError>;

    /// Connects to the server, creates the schema if there is none, and migrates its tables.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        Self::open(&figment.extract()?, figment.extract()?).await.map_err(Error::Init)
    }

    async fn get(&self) -> std::result::Result<PostgresConnection, Self::Error> {
        let connection = connection(&self.0.host).await;
        connection
            .map(|client| PostgresConnection(Box::new(client)))
            .map_err(|error| Error::Get(error.into_ledger_error("connect for the host")))
    }

    /// Completes running verbs and closes the connections. Every later verb returns
    /// [`LedgerError::Unavailable`].
    async fn close(&self) {
        self.0.running.close();
        self.0.pools().into_iter().for_each(deadpool_postgres::Pool::close);
        self.0.running.wait().await;
    }
}

impl PostgresPool {
    /// The maximum number of tries per call.
    const TRIES: u32 = 5;
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(200) };

    async fn open(settings: &Settings, options: SchemaOptions) -> std::result::Result<Self, OpenError> {
        let timeouts = Timeouts {
            statement: Duration::from_secs(settings.statement_timeout.max(1)),
            connect: Duration::from_secs(settings.connect_timeout.max(1)),
        };
        let schema = checked_schema(&settings.schema)?;
        let url = Address::parse(&settings.url).map_err(OpenError::url)?;
        let host = url.clone().in_session(&search_path::of_host(&schema), timeouts);
        let address = url.in_session(&search_path::own(&schema), timeouts);
        let tls = tls::connector(&address.trust).map_err(|why| OpenError::at(&address, why))?;
        let sizes = [settings.max_connections.max(1), settings.request_connections.max(1)];
        let pool =
            Self::of([address, host], tls, schema, timeouts, sizes).map_err(|why| OpenError::url(why.to_string()))?;
        pool.prepare(options).await.map_err(|why| OpenError::at(&pool.0.address, why))?;
        Ok(pool)
    }

    fn of(
        [address, host]: [Address; 2],
        tls: MakeRustlsConnect,
        schema: String,
        timeouts: Timeouts,
        [work, requests]: [usize; 2],
    ) -> std::result::Result<Self, BuildError> {
        let of =
            |address: &Address, max, recycling| connections(&address.config, &tls, timeouts.connect, max, recycling);
        let pool = |max| of(&address, max, RecyclingMethod::Fast);
        Ok(Self(Arc::new(Inner {
            work: pool(work)?,
            requests: pool(requests)?,
            probe: pool(1)?,
            host: of(&host, work, RecyclingMethod::Custom(RESET_SESSION.into()))?,
            address,
            tls,
            schema: schema.into(),
            timeouts,
            running: TaskTracker::new(),
        })))
    }

    async fn prepare(&self, options: SchemaOptions) -> std::result::Result<(), String> {
        let mut client = self.own_client().await.map_err(|error| message_of(&error))?;
        migrate(&mut client, &self.0.schema, options).await.map_err(|error| error.to_string())?;
        let Inner { schema, address, tls, .. } = &*self.0;
        let index = CodeIndex { client, schema, address, tls };
        index.apply(options.index_codes).await.map_err(|error| message_of(&error))
    }

    /// Opens a connection outside the pool.
    pub(super) async fn own_client(&self) -> std::result::Result<tokio_postgres::Client, tokio_postgres::Error> {
        self.0.address.connect(&self.0.tls).await
    }

    /// The ledger's schema.
    pub(super) fn schema(&self) -> &Arc<str> {
        &self.0.schema
    }

    /// The place of the database, for messages.
    pub(in crate::ledger) fn place(&self) -> String {
        let Inner { address, schema, .. } = &*self.0;
        let database = address.config.get_dbname().map(|name| format!("/{name}")).unwrap_or_default();
        format!("PostgreSQL at {address}{database}, schema {schema}")
    }

    /// How many connections are in use, over all pools.
    #[cfg(feature = "metrics")]
    pub(in crate::ledger) fn usage(&self) -> PoolUsage {
        let pools = self.0.pools().into_iter().map(deadpool_postgres::Pool::status);
        pools.fold(PoolUsage::default(), |sum, pool| PoolUsage {
            used: sum.used + pool.size.saturating_sub(pool.available),
            idle: sum.idle + pool.available,
            waiting: sum.waiting + pool.waiting,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.work.is_closed()
    }

    /// Runs `verb` to completion, even if this future is dropped.
    pub(super) async fn run<V: Verb>(&self, verb: V) -> Result<V::Output> {
        let pool = self.clone();
        let running = async move { AssertUnwindSafe(pool.run_with_retries(&verb)).catch_unwind().await };
        let ended = DetachOnDrop::of(self.0.running.track_future(running)).await;
        ended.unwrap_or_else(|panic| Err(failed(V::OPERATION, format!("panicked: {}", panic_message(&*panic)))))
    }

    async fn run_with_retries<V: Verb>(&self, verb: &V) -> Result<V::Output> {
        let mut tries = 1;
        loop {
            let error = match self.run_once(verb).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let repeat = error.is_rolled_back() || (V::REPEATABLE && error.is_in_doubt());
            if !repeat || tries >= Self::TRIES {
                return Err(error.into_ledger_error(V::OPERATION));
            }
            sleep(Self::BACKOFF.jittered(tries, fastrand::f64())).await;
            tries += 1;
        }
    }

    async fn run_once<V: Verb>(&self, verb: &V) -> error::Result<V::Output> {
        let mut conn = connection(self.0.lane(V::LANE)).await?;
        let response = self.0.timeouts.response();
        // After the host's time, its last statement and the rollback may take as long as any other.
        let limit = verb.host_time().map_or(response, |host_time| host_time + 2 * response);
        let result = timeout(limit, verb.run(&mut conn)).await.unwrap_or(Err(VerbError::NoResponse));
        if let Err(error) = &result
            && error.spoils_connection()
        {
            drop(Client::take(conn));
            if error.is_in_doubt() || matches!(error, VerbError::NoResponse) {
                self.0.drop_idle_connections();
            }
        }
        result
    }
}

impl Inner {
    const fn lane(&self, lane: Lane) -> &deadpool_postgres::Pool {
        match lane {
            Lane::Work => &self.work,
            Lane::Requests => &self.requests,
            Lane::Probe => &self.probe,
        }
    }

    /// Drops idle connections of verbs, which probably broke together with a failed one.
    fn drop_idle_connections(&self) {
        for pool in [&self.work, &self.requests, &self.probe] {
            drop(pool.retain(|_, _| false));
        }
    }

    /// All pools, the host's last.
    const fn pools(&self) -> [&deadpool_postgres::Pool; 4] {
        [&self.work, &self.requests, &self.probe, &self.host]
    }
}

/// Resets a session of the host, except for prepared statements. Suppresses the warning that there
/// is no transaction. In a failed transaction its first statement fails, and the pool replaces the
/// connection.
const RESET_SESSION: &str = "SET client_min_messages = error; ROLLBACK; CLOSE ALL; \
    SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); \
    DISCARD TEMP; DISCARD SEQUENCES";

fn connections(
    config: &tokio_postgres::Config,
    tls: &MakeRustlsConnect,
    connect_timeout: Duration,
    max: usize,
    recycling_method: RecyclingMethod,
) -> std::result::Result<deadpool_postgres::Pool, BuildError> {
    let manager = Manager::from_config(config.clone(), tls.clone(), ManagerConfig { recycling_method });
    let limit = Some(connect_timeout);
    deadpool_postgres::Pool::builder(manager)
        .max_size(max)
        .runtime(Runtime::Tokio1)
        .timeouts(deadpool_postgres::Timeouts { wait: limit, create: limit, recycle: limit })
        .build()
}

async fn connection(pool: &deadpool_postgres::Pool) -> error::Result<Client> {
    pool.get().await.map_err(|why| match why {
        PoolError::Backend(error) => VerbError::Database(error),
        PoolError::Closed => VerbError::NoConnection("the ledger was closed".into()),
        why => VerbError::NoConnection(why.into()),
    })
}

/// Checks that the name needs no quotes, because statements contain it unquoted.
fn checked_schema(schema: &str) -> std::result::Result<String, OpenError> {
    let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let starts_well = schema.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain && starts_well && schema.len() <= 63 && !schema.starts_with("pg_") {
        return Ok(schema.to_owned());
    }
    Err(OpenError::of("schema", format!("must be up to 63 of a-z 0-9 _, but is {schema:?}; try \"rocket_batch\"")))
}

/// Makes a round trip.
pub(super) struct Ping;

impl Verb for Ping {
    type Output = ();
    const OPERATION: &'static str = operation::PING;
    const LANE: Lane = Lane::Probe;

    async fn run(&self, conn: &mut Client) -> error::Result<()> {
        Ok(conn.simple_query("SELECT 1").await.map(drop)?)
    }
}
