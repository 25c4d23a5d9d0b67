//! The connections to the server: those of the verbs, by who waits for the answer, and those that a
//! host gets.
//!
//! ```text
//!   verb ──▶ connection ──▶ run ──┬─▶ answer
//!                                 ├─▶ taken back, or in doubt and repeatable: once more, on another connection
//!                                 ├─▶ silent: the connection is thrown away, and all idle ones with it
//!                                 └─▶ the caller is gone: goes on as a task of its own
//! ```
//!
//! A statement is bounded at the server and awaited here, so a connection never comes back in the
//! middle of something. Only when no answer comes at all, not even that the time is over, the wait
//! ends; then the connection ends with it.

use std::{
    ops::{Deref, DerefMut},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{Client, Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime};
use rocket::{figment::Figment, futures::FutureExt};
use rocket_db_pools::{Error, Pool};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use super::{
    address::{Address, Timeouts},
    detach_on_drop::DetachOnDrop,
    error::{self, VerbError, broken, in_words},
    migrate::migrate,
    tls,
};
use crate::domain::Backoff;
use crate::ledger::{LedgerError, OpenError, Result, database::SchemaOptions};

/// The connections to one PostgreSQL database. A clone is the same pool.
///
/// Configured in `[default.databases.batch]`:
///
/// ```toml
/// [default.databases.batch]
/// url = "postgres://shop:secret@db.example.com/shop?sslmode=verify-full"
/// schema = "rocket_batch"   # of the ledger's tables; made when there is none
/// max_connections = 10      # of workers and the feeder; handlers of the host have as many of their own
/// request_connections = 8   # of those who call the service or its routes
/// connect_timeout = 5       # seconds to make a connection, or to wait for a free one
/// statement_timeout = 10    # seconds that a statement may take at the server
/// ```
///
/// `sslmode` is `disable`, `prefer` (the default: encrypted if the server can, its certificate is
/// not looked at), or `require` and `verify-full`, which both want a certificate that is for the
/// host's name and signed by an authority that the system knows, or the file that `sslrootcert`
/// names. Connect directly, or through a pooler in session mode: the ledger uses session settings
/// and advisory locks.
#[derive(Clone)]
pub struct PostgresPool(Arc<Inner>);

struct Inner {
    /// Of workers and the feeder.
    work: deadpool_postgres::Pool,
    /// Of those who call the service.
    requests: deadpool_postgres::Pool,
    /// Of probes: a database is not away because everybody else is busy with it.
    probe: deadpool_postgres::Pool,
    /// Of the host, so that neither waits for the other.
    host: deadpool_postgres::Pool,
    address: Address,
    tls: MakeRustlsConnect,
    schema: String,
    timeouts: Timeouts,
    /// Verbs that run.
    running: TaskTracker,
}

/// Who waits for the answer of a verb. Each has connections of its own, so that none of them waits
/// for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Work,
    Requests,
    Probe,
}

/// A call of the ledger, which a task runs to its end.
#[async_trait]
pub(super) trait Verb: Send + Sync + 'static {
    /// What it answers.
    type Output: Send + 'static;

    /// What it does, as a verb phrase.
    const OPERATION: &'static str;

    /// Whether it knows its own work again. Then it is repeated when the connection broke before
    /// the answer came.
    const REPEATABLE: bool = true;

    const LANE: Lane = Lane::Work;

    async fn run(&self, conn: &mut Client) -> error::Result<Self::Output>;
}

/// A host's way to the database of the ledger: a client of [`tokio_postgres`] whose search path is
/// the ledger's schema and `public`.
///
/// The tables of the ledger's schema are to be read as you like, and to be changed through the
/// crate alone. What was left of a transaction or of session settings is taken back when the
/// connection is used again.
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

/// What stands in `[default.databases.batch]`; what concerns other databases is passed over.
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

    /// Reaches the server, makes the schema if there is none, and brings its tables up to date.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        Self::open(&figment.extract()?, figment.extract()?).await.map_err(Error::Init)
    }

    async fn get(&self) -> std::result::Result<PostgresConnection, Self::Error> {
        let got = connection(&self.0.host).await;
        got.map(|client| PostgresConnection(Box::new(client)))
            .map_err(|stop| Error::Get(stop.while_trying_to("connect for the host")))
    }

    /// Ends what was begun and closes the connections. What comes later is
    /// [`LedgerError::Unavailable`].
    async fn close(&self) {
        self.0.running.close();
        self.0.pools().into_iter().for_each(deadpool_postgres::Pool::close);
        self.0.running.wait().await;
    }
}

impl PostgresPool {
    /// How often a verb is run in one call.
    const TRIES: u32 = 5;
    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(200) };

    async fn open(settings: &Settings, wishes: SchemaOptions) -> std::result::Result<Self, OpenError> {
        let timeouts = Timeouts {
            statement: Duration::from_secs(settings.statement_timeout.max(1)),
            connect: Duration::from_secs(settings.connect_timeout.max(1)),
        };
        let schema = checked(&settings.schema)?;
        let address = Address::parse(&settings.url).map_err(OpenError::url)?.in_session(&schema, timeouts);
        let tls = tls::connector(&address.trust).map_err(|why| OpenError::at(&address, why))?;
        let sizes = [settings.max_connections.max(1), settings.request_connections.max(1)];
        let pool = Self::of(address, tls, schema, timeouts, sizes).map_err(|why| OpenError::url(why.to_string()))?;
        pool.prepare(wishes).await.map_err(|why| OpenError::at(&pool.0.address, why))?;
        Ok(pool)
    }

    fn of(
        address: Address,
        tls: MakeRustlsConnect,
        schema: String,
        timeouts: Timeouts,
        [work, requests]: [usize; 2],
    ) -> std::result::Result<Self, deadpool_postgres::BuildError> {
        let pool = |max, recycling_method| {
            let config = ManagerConfig { recycling_method };
            let manager = Manager::from_config(address.config.clone(), tls.clone(), config);
            deadpool_postgres::Pool::builder(manager)
                .max_size(max)
                .runtime(Runtime::Tokio1)
                .timeouts(deadpool_postgres::Timeouts {
                    wait: Some(timeouts.connect),
                    create: Some(timeouts.connect),
                    recycle: Some(timeouts.connect),
                })
                .build()
        };
        Ok(Self(Arc::new(Inner {
            work: pool(work, RecyclingMethod::Fast)?,
            requests: pool(requests, RecyclingMethod::Fast)?,
            probe: pool(1, RecyclingMethod::Fast)?,
            host: pool(work, RecyclingMethod::Custom(TIDY.into()))?,
            address,
            tls,
            schema,
            timeouts,
            running: TaskTracker::new(),
        })))
    }

    async fn prepare(&self, wishes: SchemaOptions) -> std::result::Result<(), String> {
        let mut client = self.own_client().await.map_err(|error| in_words(&error))?;
        migrate(&mut client, &self.0.schema, wishes).await.map_err(|why| why.to_string())
    }

    /// A connection beside the pool, for whoever keeps it.
    pub(super) async fn own_client(&self) -> std::result::Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = self.0.address.config.connect(self.0.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = in_words(&error), "a connection to the database ended");
            }
        });
        Ok(client)
    }

    /// The ledger's schema.
    pub(super) fn schema(&self) -> &str {
        &self.0.schema
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.work.is_closed()
    }

    /// Runs `verb` to its end, also when this future is dropped.
    pub(super) async fn run<V: Verb>(&self, verb: V) -> Result<V::Output> {
        let pool = self.clone();
        let running = async move { AssertUnwindSafe(pool.run_patiently(&verb)).catch_unwind().await };
        let ended = DetachOnDrop::of(self.0.running.track_future(running)).await;
        ended.unwrap_or_else(|panic| Err(broken(V::OPERATION, format!("panicked: {}", message(&*panic)))))
    }

    async fn run_patiently<V: Verb>(&self, verb: &V) -> Result<V::Output> {
        let mut tries = 1;
        loop {
            let stop = match self.run_once(verb).await {
                Ok(answer) => return Ok(answer),
                Err(stop) => stop,
            };
            let again = stop.left_nothing() || (V::REPEATABLE && stop.left_doubt());
            if !again || tries >= Self::TRIES {
                return Err(stop.while_trying_to(V::OPERATION));
            }
            sleep(Self::BACKOFF.jittered(tries, fastrand::f64())).await;
            tries += 1;
        }
    }

    async fn run_once<V: Verb>(&self, verb: &V) -> error::Result<V::Output> {
        let mut conn = connection(self.0.lane(V::LANE)).await?;
        let answer = timeout(self.0.timeouts.silence(), verb.run(&mut conn)).await.unwrap_or(Err(VerbError::Silent));
        if let Err(stop) = &answer
            && stop.spoils_connection()
        {
            drop(Client::take(conn));
            // The others went the same way.
            if stop.left_doubt() || matches!(stop, VerbError::Silent) {
                self.0.pools()[..3].iter().for_each(|pool| drop(pool.retain(|_, _| false)));
            }
        }
        answer
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

    /// All of them, the host's last.
    const fn pools(&self) -> [&deadpool_postgres::Pool; 4] {
        [&self.work, &self.requests, &self.probe, &self.host]
    }
}

/// Leaves nothing of a host's session to the next one, but for statements that are prepared.
/// Quietly, since mostly there is nothing to roll back; in a transaction that failed it fails at
/// its first word, and the connection is replaced.
const TIDY: &str = "SET client_min_messages = error; ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
                    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

async fn connection(pool: &deadpool_postgres::Pool) -> error::Result<Client> {
    pool.get().await.map_err(|why| match why {
        PoolError::Backend(error) => VerbError::Database(error),
        PoolError::Closed => VerbError::Unreached("the ledger was shut".into()),
        why => VerbError::Unreached(why.into()),
    })
}

/// A name that needs no quotes, since it stands in statements as it is.
fn checked(schema: &str) -> std::result::Result<String, OpenError> {
    let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let begins = schema.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain && begins && schema.len() <= 63 && !schema.starts_with("pg_") {
        return Ok(schema.to_owned());
    }
    Err(OpenError::of(
        "schema",
        format!("must be up to 63 of a-z 0-9 _, but is {schema:?}; write \"rocket_batch\", say"),
    ))
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// A round trip.
pub(super) struct Ping;

#[async_trait]
impl Verb for Ping {
    type Output = ();
    const OPERATION: &'static str = "ping";
    const LANE: Lane = Lane::Probe;

    async fn run(&self, conn: &mut Client) -> error::Result<()> {
        Ok(conn.simple_query("SELECT 1").await.map(drop)?)
    }
}
