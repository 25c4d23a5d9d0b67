//! The connections to the database: one that writes, several that read, and what a host may do with
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
    error::{self, VerbError, shut},
    migrate::{MigrateError, migrate},
    readers::Readers,
    writer::Writer,
};
use crate::ledger::{LedgerError, OpenError, Result, database::SchemaOptions};

/// The connections to one SQLite database. A clone is the same pool.
///
/// Configured in `[default.databases.batch]`:
///
/// ```toml
/// [default.databases.batch]
/// url = "sqlite://batch.db"   # or "sqlite:///var/lib/shop/batch.db", or "sqlite://:memory:" for a test
/// max_connections = 4         # that read for requests; one that writes and two that read for workers come on top
/// connect_timeout = 5         # seconds to wait for a connection, or for another process that holds the lock
/// ```
#[derive(Clone)]
pub struct SqlitePool(Arc<Inner>);

/// Connections that read, by who waits for the answer, so that neither waits for the other.
struct Lanes {
    /// Workers and the feeder.
    work: Readers,
    /// Those who call the service, and the host.
    requests: Readers,
}

/// Readers of the feeder and of workers, which read little beside what they write.
const WORK_READERS: u32 = 2;

struct Inner {
    address: Address,
    writer: Writer,
    /// None for a database in memory: it has one connection, and reading takes its turn with
    /// writing.
    readers: Option<Lanes>,
    /// What leads when there is no file to lock.
    lead: Arc<Semaphore>,
}

/// A host's way to the database of the ledger.
///
/// The tables whose names begin with `batch_` belong to the ledger: read them as you like, change
/// them through the crate alone.
#[derive(Clone)]
pub struct SqliteConnection(SqlitePool);

impl SqliteConnection {
    /// Runs `work` on one snapshot of the database. It can't change anything.
    ///
    /// It runs on a thread for blocking work, to its end also when this future is dropped. It is in
    /// a transaction already; where it needs one of its own, a savepoint will do.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if no connection came free in time, or if `work` tried to
    /// write; otherwise what `work` answers.
    pub async fn interact<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.read("read for the host", |conn| work(conn).map_err(VerbError::from)).await
    }

    /// Runs `work` in a transaction of the only connection that writes: keep it short, everybody
    /// waits for it.
    ///
    /// The transaction is committed when `work` answers `Ok`, and rolled back when it answers an
    /// error or panics. It runs to its end also when this future is dropped. Don't end the
    /// transaction in it; use a savepoint where one is needed.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the database did not answer, [`LedgerError::Refused`] if it
    /// refused the rows, [`LedgerError::Broken`] for everything else, a panic included.
    pub async fn interact_mut<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.0.write("write for the host", |conn| work(conn).map_err(VerbError::from)).await
    }
}

/// What stands in `[default.databases.batch]`; what concerns other databases is passed over.
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

    /// Opens the database, makes it if there is none, and brings its tables up to date.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        let (settings, wishes): (Settings, SchemaOptions) = (figment.extract()?, figment.extract()?);
        let opening = spawn_blocking(move || Self::open(&settings, wishes)).await;
        opening
            .unwrap_or_else(|ended| Err(OpenError::url(format!("could not be opened: {ended}"))))
            .map_err(Error::Init)
    }

    async fn get(&self) -> std::result::Result<SqliteConnection, Self::Error> {
        Ok(SqliteConnection(self.clone()))
    }

    /// Ends what was begun, writes the log into the file and closes it. What comes later is
    /// [`LedgerError::Unavailable`].
    async fn close(&self) {
        if let Some(readers) = &self.0.readers {
            readers.requests.close().await;
            readers.work.close().await;
        }
        self.0.lead.close();
        self.0.writer.close().await;
    }
}

impl SqlitePool {
    fn open(settings: &Settings, wishes: SchemaOptions) -> std::result::Result<Self, OpenError> {
        let address = Address::parse(&settings.url).map_err(OpenError::url)?;
        let patience = Duration::from_secs(settings.connect_timeout);
        let conn = prepared(&address, patience, wishes).map_err(|why| OpenError::at(&address, why))?;
        let address = address.resolved();
        let writer = Writer::start(conn, patience).map_err(|why| OpenError::at(&address, why))?;
        let readers = match &address {
            Address::File(path) => Some(Lanes {
                work: Readers::new(path.clone(), WORK_READERS, patience),
                requests: Readers::new(path.clone(), settings.max_connections.max(1), patience),
            }),
            Address::Memory => None,
        };
        Ok(Self(Arc::new(Inner { address, writer, readers, lead: Arc::new(Semaphore::new(1)) })))
    }

    /// Runs `work` in a transaction on the writer.
    pub(super) async fn write<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        self.0.writer.call(operation, work).await
    }

    /// Runs `work` on a snapshot, where nothing can be changed, for whoever calls the service.
    pub(super) async fn read<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        self.read_by(|lanes| &lanes.requests, operation, work).await
    }

    /// The same for workers and the feeder.
    pub(super) async fn read_for_work<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        self.read_by(|lanes| &lanes.work, operation, work).await
    }

    async fn read_by<T, F>(&self, lane: fn(&Lanes) -> &Readers, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        match &self.0.readers {
            Some(lanes) => lane(lanes).call(operation, work).await,
            None => self.0.writer.call(operation, |conn| work(ReadOnly::on(conn)?.0)).await,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// What leads a database in memory.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] after the pool was closed.
    pub(super) fn token(&self, operation: &'static str) -> Result<Arc<Semaphore>> {
        if self.0.lead.is_closed() { Err(shut(operation)) } else { Ok(Arc::clone(&self.0.lead)) }
    }
}

fn prepared(
    address: &Address,
    patience: Duration,
    wishes: SchemaOptions,
) -> std::result::Result<Connection, MigrateError> {
    let mut conn = address.writer(patience)?;
    migrate(&mut conn, wishes)?;
    Ok(conn)
}

/// The writing connection while it may only read, also if the work panics.
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
            tracing::error!(%error, "the ledger in memory can't be written any more");
        }
    }
}
