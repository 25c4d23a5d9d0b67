//! The connections to the database: one that writes, several that read, and the host's access to
//! them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rocket::figment::Figment;
use rocket_db_pools::{Error, Pool};
use rusqlite::Connection;
use serde::Deserialize;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    address::Address,
    error::{self, classified, closed},
    interact::InteractError,
    migrate::{MigrateError, migrate},
    readers::Readers,
    writer::Writer,
};
#[cfg(feature = "metrics")]
use crate::ledger::PoolUsage;
use crate::ledger::{
    error::LedgerError,
    open::{OpenError, SchemaOptions},
};

/// The connections to one SQLite database. A clone is the same pool.
///
/// Configured in `[default.databases.batch]`:
///
/// ```toml
/// [default.databases.batch]
/// url = "sqlite://batch.db" # or "sqlite:///var/lib/shop/batch.db", or "sqlite://:memory:" for tests
/// max_connections = 4       # readers for requests; one writer and two readers are added
/// connect_timeout = 5       # seconds to wait for a connection, or for a lock of another process
/// ```
#[derive(Clone)]
pub struct SqlitePool(Arc<Inner>);

/// Connections that read, separate for workers and for requests, so that neither waits for the
/// other.
struct Lanes {
    /// For workers and the feeder.
    work: Readers,
    /// For callers of the service, and for the host.
    requests: Readers,
}

/// The number of readers for workers and the feeder, which mostly write.
const WORK_READERS: u32 = 2;

struct Inner {
    address: Address,
    writer: Writer,
    /// `None` for a database in memory: reads use its only connection.
    readers: Option<Lanes>,
    /// The leadership of a database in memory.
    leader: Arc<Semaphore>,
}

/// The host's access to the database of the ledger.
///
/// Read the views `batch_batches`, `batch_jobs` and `batch_items`, which the guide describes under
/// [tables](crate::guide::tables). The tables named `rocket_batch_…` belong to the ledger: change
/// batches through this crate only.
#[derive(Clone)]
pub struct SqliteConnection(SqlitePool);

impl SqliteConnection {
    /// Runs `work` on one snapshot of the database, read-only.
    ///
    /// Runs on a thread for blocking work, to completion even if this future is dropped. `work` is
    /// already in a transaction; use a savepoint where you need one. It may return the errors of
    /// `rusqlite` or your own, see [`InteractError`].
    ///
    /// # Errors
    ///
    /// The error of `work`, and [`LedgerError::Unavailable`] if no connection became free in time.
    /// If `work` returns the errors of `rusqlite`, also if it tried to write.
    pub async fn interact<T, E, F>(&self, work: F) -> Result<T, E::Returned>
    where
        T: Send + 'static,
        E: InteractError,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        const OPERATION: &str = "read for the host";
        let work = move |conn: &mut Connection| work(conn).map_err(|error| error.returned(OPERATION));
        self.0.read_by(|lanes| &lanes.requests, OPERATION, work).await
    }

    /// Runs `work` in a transaction of the only writing connection. Keep it short: every other
    /// write waits for it.
    ///
    /// The transaction is committed if `work` returns `Ok`, and rolled back if it returns an error
    /// or panics. It runs to completion even if this future is dropped. Do not end the transaction
    /// in `work`; use a savepoint where you need one. `work` may return the errors of `rusqlite` or
    /// your own, see [`InteractError`].
    ///
    /// # Errors
    ///
    /// The error of `work`, and [`LedgerError::Unavailable`] if the database did not respond. If
    /// `work` returns the errors of `rusqlite`, [`LedgerError::Rejected`] if the database rejected
    /// the rows, and [`LedgerError::Failed`] for everything else. A panic is always
    /// [`LedgerError::Failed`].
    pub async fn interact_mut<T, E, F>(&self, work: F) -> Result<T, E::Returned>
    where
        T: Send + 'static,
        E: InteractError,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        const OPERATION: &str = "write for the host";
        let work = move |conn: &mut Connection| work(conn).map_err(|error| error.returned(OPERATION));
        self.0.0.writer.call(OPERATION, work).await
    }
}

/// The settings in `[default.databases.batch]`. Those of other databases are ignored.
#[derive(Deserialize)]
struct Settings {
    url: String,
    #[serde(default = "Settings::max_connections")]
    max_connections: u32,
    #[serde(default = "Settings::connect_timeout")]
    connect_timeout: u64,
}

impl Settings {
    const fn max_connections() -> u32 {
        4
    }

    const fn connect_timeout() -> u64 {
        5
    }
}

#[async_trait]
impl Pool for SqlitePool {
    type Connection = SqliteConnection;
    type Error = Error<OpenError, LedgerError>;

    /// Opens or creates the database and migrates its tables.
    async fn init(figment: &Figment) -> Result<Self, Self::Error> {
        let (settings, options): (Settings, SchemaOptions) = (figment.extract()?, figment.extract()?);
        let opening = spawn_blocking(move || Self::open(&settings, options)).await;
        opening
            .unwrap_or_else(|ended| Err(OpenError::url(format!("could not be opened: {ended}"))))
            .map_err(Error::Init)
    }

    async fn get(&self) -> Result<SqliteConnection, Self::Error> {
        Ok(SqliteConnection(self.clone()))
    }

    /// Completes running verbs, writes the log into the file and closes it. Every later verb
    /// returns [`LedgerError::Unavailable`].
    async fn close(&self) {
        if let Some(readers) = &self.0.readers {
            readers.requests.close().await;
            readers.work.close().await;
        }
        self.0.leader.close();
        self.0.writer.close().await;
    }
}

impl SqlitePool {
    fn open(settings: &Settings, options: SchemaOptions) -> Result<Self, OpenError> {
        let address = Address::parse(&settings.url).map_err(OpenError::url)?;
        let wait_timeout = Duration::from_secs(settings.connect_timeout);
        let opened = open_and_migrate(&address, wait_timeout, options);
        let conn = opened.map_err(|why| OpenError::at(&address, address.explain(why)))?;
        let address = address.resolved();
        let writer = Writer::start(conn, wait_timeout).map_err(|why| OpenError::at(&address, why))?;
        let readers = match &address {
            Address::File(path) => Some(Lanes {
                work: Readers::new(path.clone(), WORK_READERS, wait_timeout),
                requests: Readers::new(path.clone(), settings.max_connections.max(1), wait_timeout),
            }),
            Address::Memory => None,
        };
        Ok(Self(Arc::new(Inner { address, writer, readers, leader: Arc::new(Semaphore::new(1)) })))
    }

    /// Runs `work` in a transaction on the writer.
    pub(super) async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        self.0.writer.call(operation, move |conn| work(conn).map_err(|error| error.into_ledger_error(operation))).await
    }

    /// Runs `work` on a snapshot, read-only, for callers of the service.
    pub(super) async fn read<T, F>(&self, operation: &'static str, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        let work = move |conn: &mut _| work(conn).map_err(|error| error.into_ledger_error(operation));
        self.read_by(|lanes| &lanes.requests, operation, work).await
    }

    /// Runs `work` on a snapshot, read-only, for workers and the feeder.
    pub(super) async fn read_for_work<T, F>(&self, operation: &'static str, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        let work = move |conn: &mut _| work(conn).map_err(|error| error.into_ledger_error(operation));
        self.read_by(|lanes| &lanes.work, operation, work).await
    }

    async fn read_by<T, E, F>(&self, lane: fn(&Lanes) -> &Readers, operation: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<LedgerError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        match &self.0.readers {
            Some(lanes) => lane(lanes).call(operation, work).await,
            None => {
                let read_only = move |conn: &mut _| {
                    let conn = ReadOnly::on(conn).map_err(|error| classified(error, operation))?;
                    work(conn.0)
                };
                self.0.writer.call(operation, read_only).await
            }
        }
    }

    /// How many connections are in use: the readers, and the one that writes.
    #[cfg(feature = "metrics")]
    pub(in crate::ledger) fn usage(&self) -> PoolUsage {
        let readers = self.0.readers.iter().flat_map(|lanes| [&lanes.work, &lanes.requests]);
        let all = readers.map(Readers::usage).chain([self.0.writer.usage()]);
        all.fold(PoolUsage::default(), |sum, one| PoolUsage {
            used: sum.used + one.used,
            idle: sum.idle + one.idle,
            waiting: sum.waiting + one.waiting,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The place of the database, for messages.
    pub(in crate::ledger) fn place(&self) -> String {
        match self.address() {
            Address::File(path) => format!("SQLite file {}", path.display()),
            Address::Memory => "SQLite in memory".into(),
        }
    }

    /// Whether the database ends with the process.
    pub(in crate::ledger) fn is_in_memory(&self) -> bool {
        *self.address() == Address::Memory
    }

    /// The leadership of a database in memory.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] after the pool was closed.
    pub(super) fn token(&self, operation: &'static str) -> Result<Arc<Semaphore>, LedgerError> {
        if self.0.leader.is_closed() { Err(closed(operation)) } else { Ok(Arc::clone(&self.0.leader)) }
    }
}

fn open_and_migrate(
    address: &Address,
    wait_timeout: Duration,
    options: SchemaOptions,
) -> Result<Connection, MigrateError> {
    let mut conn = address.writer(wait_timeout)?;
    migrate(&mut conn, options)?;
    Ok(conn)
}

/// The writing connection, read-only until this is dropped.
struct ReadOnly<'conn>(&'conn mut Connection);

impl<'conn> ReadOnly<'conn> {
    fn on(conn: &'conn mut Connection) -> rusqlite::Result<Self> {
        conn.pragma_update(None, "query_only", true)?;
        Ok(Self(conn))
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.pragma_update(None, "query_only", false) {
            tracing::error!(%error, "the database in memory stays read-only");
        }
    }
}
