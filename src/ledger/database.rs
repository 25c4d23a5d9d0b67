//! The database of the ledger, of either kind, and the host's access to it.
//!
//! The URL selects it: `sqlite://batch.db`, `postgres://user:password@host/database`. A path alone
//! is that of a SQLite file.

use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use rocket::{
    Ignite, Phase, Request, Rocket, Sentinel,
    figment::Figment,
    http::Status,
    request::{FromRequest, Outcome},
};
use rocket_db_pools::{Database, Error, Pool};

#[cfg(feature = "metrics")]
use super::pool_usage::PoolUsage;
#[cfg(feature = "postgres")]
use super::postgres::{self, PostgresConnection, PostgresPool, SetupLock as PostgresSetupLock};
#[cfg(feature = "sqlite")]
use super::sqlite::{self, SqliteConnection, SqlitePool};
use super::{
    error::LedgerError,
    open::{OpenError, url_scheme},
};
use crate::domain::LaunchFailed;

/// The database of the ledger, for handlers of the host: `db: Connection<BatchDb>`, with the
/// `Connection` of `rocket_db_pools` 0.2.
///
/// Ask for the kind of database that you configured. For SQLite, `interact(..)` reads one snapshot,
/// and `interact_mut(..)` is a transaction of the only writing connection. Keep it short: every
/// other write waits for it. For PostgreSQL you get a client with the same timeouts as the ledger's
/// own. Read the views `batch_batches`, `batch_jobs` and `batch_items`, which the guide describes
/// under [tables](crate::guide::tables).
///
#[cfg_attr(feature = "sqlite", doc = "```")]
#[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
/// use rocket_batch::{BatchDb, BoxError};
/// use rocket_db_pools::Connection;
///
/// async fn count(db: Connection<BatchDb>) -> Result<i64, BoxError> {
///     let sql = "SELECT count(*) FROM batch_items";
///     Ok(db.sqlite()?.interact(|conn| conn.query_row(sql, [], |row| row.get(0))).await?)
/// }
/// ```
///
#[cfg_attr(feature = "postgres", doc = "```")]
#[cfg_attr(not(feature = "postgres"), doc = "```ignore")]
/// use rocket_batch::{BatchDb, BoxError};
/// use rocket_db_pools::Connection;
///
/// async fn count(mut db: Connection<BatchDb>) -> Result<i64, BoxError> {
///     Ok(db.postgres()?.query_one("SELECT count(*) FROM batch_items", &[]).await?.try_get(0)?)
/// }
/// ```
pub struct BatchDb(BatchPool);

#[async_trait]
impl Database for BatchDb {
    type Pool = BatchPool;
    const NAME: &'static str = "batch";

    /// Rocket's own version would tell the host to attach `BatchDb::init()`.
    fn fetch<P: Phase>(rocket: &Rocket<P>) -> Option<&Self> {
        let database = rocket.state();
        if database.is_none() && rocket.state::<LaunchFailed>().is_none() {
            tracing::error!(
                "`BatchDb` is used, but the fairing of rocket_batch is not attached, or only after the fairing that \
                 uses it; \
                 add `.attach(Batch::fairing().guard::<YourGuard>())` before it"
            );
        }
        database
    }
}

impl From<BatchPool> for BatchDb {
    fn from(pool: BatchPool) -> Self {
        Self(pool)
    }
}

impl Deref for BatchDb {
    type Target = BatchPool;

    fn deref(&self) -> &BatchPool {
        &self.0
    }
}

impl DerefMut for BatchDb {
    fn deref_mut(&mut self) -> &mut BatchPool {
        &mut self.0
    }
}

#[async_trait]
impl<'r> FromRequest<'r> for &'r BatchDb {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        BatchDb::fetch(request.rocket()).map_or(Outcome::Error((Status::InternalServerError, ())), Outcome::Success)
    }
}

impl Sentinel for &BatchDb {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        BatchDb::fetch(rocket).is_none()
    }
}

/// The connections to the database that the URL names.
#[derive(Clone)]
#[non_exhaustive]
pub enum BatchPool {
    /// To a SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(SqlitePool),
    /// To a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(PostgresPool),
}

/// The host's access to the database of the ledger.
#[non_exhaustive]
pub enum BatchConnection {
    /// To a SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConnection),
    /// To a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(PostgresConnection),
}

/// The ledger is in SQLite, but the call needs PostgreSQL, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}; see `databases.batch.url`")]
pub struct WrongDatabaseKind(&'static str);

/// The right of this process to prepare tables of the host, until this is dropped.
pub(crate) enum SetupLock {
    /// A transaction that writes locks the file.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// A lock of the schema.
    #[cfg(feature = "postgres")]
    Postgres(#[expect(dead_code, reason = "kept for its drop")] PostgresSetupLock),
}

impl BatchPool {
    /// Waits until no other process prepares tables of the host.
    ///
    /// # Errors
    ///
    /// If the server can't be reached, or another process takes longer than 10 minutes.
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "only PostgreSQL has to wait"))]
    pub(crate) async fn lock_setup(&self) -> std::result::Result<SetupLock, OpenError> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(SetupLock::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.lock_setup().await.map(SetupLock::Postgres),
        }
    }
}

impl BatchPool {
    /// Returns the kind and the place of the database for messages, without user and password.
    pub(crate) fn place(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.place(),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.place(),
        }
    }

    /// Returns how many connections are in use.
    #[cfg(feature = "metrics")]
    pub(crate) fn usage(&self) -> PoolUsage {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.usage(),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.usage(),
        }
    }

    /// Returns the kind of the database.
    #[cfg(feature = "metrics")]
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => "sqlite",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres",
        }
    }

    /// Returns whether the database ends with this process.
    pub(crate) fn is_in_memory(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.is_in_memory(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => false,
        }
    }
}

impl WrongDatabaseKind {
    #[cfg(all(feature = "sqlite", feature = "postgres"))]
    const NOT_SQLITE: Self = Self("the ledger is not in SQLite");
    #[cfg(all(feature = "sqlite", feature = "postgres"))]
    const NOT_POSTGRES: Self = Self("the ledger is not in PostgreSQL");
    /// A transaction of the host is in another SQLite file.
    #[cfg(feature = "sqlite")]
    pub(crate) const OTHER_FILE: Self = Self("the transaction is not in the SQLite file of the ledger");
}

/// Creates batches in transactions of the host, in either kind of database.
#[derive(Clone)]
pub enum HostTransactions {
    /// In the ledger's SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlite::HostTransactions),
    /// In the ledger's PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(postgres::HostTransactions),
}

impl HostTransactions {
    /// Creates batches in the ledger of `pool`.
    #[must_use]
    pub fn new(pool: &BatchPool) -> Self {
        match pool {
            #[cfg(feature = "sqlite")]
            BatchPool::Sqlite(pool) => Self::Sqlite(sqlite::HostTransactions::new(pool)),
            #[cfg(feature = "postgres")]
            BatchPool::Postgres(pool) => Self::Postgres(postgres::HostTransactions::new(pool)),
        }
    }

    /// Returns those in SQLite.
    ///
    /// # Errors
    ///
    /// [`WrongDatabaseKind`] if the ledger is not in a SQLite file.
    #[cfg(feature = "sqlite")]
    pub const fn sqlite(&self) -> std::result::Result<&sqlite::HostTransactions, WrongDatabaseKind> {
        match self {
            Self::Sqlite(transactions) => Ok(transactions),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(WrongDatabaseKind::NOT_SQLITE),
        }
    }

    /// Returns those in PostgreSQL.
    ///
    /// # Errors
    ///
    /// [`WrongDatabaseKind`] if the ledger is not in a PostgreSQL server.
    #[cfg(feature = "postgres")]
    pub const fn postgres(&self) -> std::result::Result<&postgres::HostTransactions, WrongDatabaseKind> {
        match self {
            Self::Postgres(transactions) => Ok(transactions),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Err(WrongDatabaseKind::NOT_POSTGRES),
        }
    }
}

impl BatchConnection {
    /// Returns the connection, if the ledger is in a SQLite file.
    ///
    /// # Errors
    ///
    /// [`WrongDatabaseKind`] if it is not.
    #[cfg(feature = "sqlite")]
    pub const fn sqlite(&self) -> std::result::Result<&SqliteConnection, WrongDatabaseKind> {
        match self {
            Self::Sqlite(connection) => Ok(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(WrongDatabaseKind::NOT_SQLITE),
        }
    }

    /// Returns the client, if the ledger is in a PostgreSQL server.
    ///
    /// # Errors
    ///
    /// [`WrongDatabaseKind`] if it is not.
    #[cfg(feature = "postgres")]
    pub const fn postgres(&mut self) -> std::result::Result<&mut PostgresConnection, WrongDatabaseKind> {
        match self {
            Self::Postgres(connection) => Ok(connection),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Err(WrongDatabaseKind::NOT_POSTGRES),
        }
    }
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
impl BatchConnection {
    /// Runs one of two closures, by the database that the ledger is in. Both return a future of the
    /// same type of result. Exists if both features, `sqlite` and `postgres`, are enabled.
    ///
    /// ```
    /// use rocket_batch::{BatchConnection, BoxError};
    ///
    /// const LABELS: &str = "CREATE TABLE IF NOT EXISTS labels (code text PRIMARY KEY)";
    ///
    /// async fn create_table(db: &mut BatchConnection) -> Result<(), BoxError> {
    ///     db.either(
    ///         async |db| Ok(db.interact_mut(|transaction| transaction.execute_batch(LABELS)).await?),
    ///         async |db| Ok(db.batch_execute(LABELS).await?),
    ///     )
    ///     .await
    /// }
    /// ```
    pub async fn either<'a, T, S, P>(
        &'a mut self,
        sqlite: impl FnOnce(&'a SqliteConnection) -> S,
        postgres: impl FnOnce(&'a mut PostgresConnection) -> P,
    ) -> T
    where
        S: Future<Output = T>,
        P: Future<Output = T>,
    {
        match self {
            Self::Sqlite(connection) => sqlite(connection).await,
            Self::Postgres(connection) => postgres(connection).await,
        }
    }
}

#[async_trait]
impl Pool for BatchPool {
    type Connection = BatchConnection;
    type Error = Error<OpenError, LedgerError>;

    /// Opens the database of the URL and migrates the ledger's tables.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        let url: String = figment.extract_inner("url")?;
        match url_scheme(&url) {
            #[cfg(feature = "sqlite")]
            Some("sqlite") | None => Ok(Self::Sqlite(SqlitePool::init(figment).await?)),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => Ok(Self::Postgres(PostgresPool::init(figment).await?)),
            // The URL is not shown, since it may contain a password.
            _ => Err(Error::Init(OpenError::url(UNKNOWN))),
        }
    }

    async fn get(&self) -> std::result::Result<BatchConnection, Self::Error> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.get().await.map(BatchConnection::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.get().await.map(BatchConnection::Postgres),
        }
    }

    async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
const UNKNOWN: &str =
    "names an unknown kind of database; try \"sqlite://batch.db\", or \"postgres://user:password@host:5432/database\"";
#[cfg(not(feature = "postgres"))]
const UNKNOWN: &str = "is not a SQLite URL, and this build supports no other database; try \
                       \"sqlite://batch.db\", or enable the feature `postgres`";
#[cfg(not(feature = "sqlite"))]
const UNKNOWN: &str = "is not a PostgreSQL URL, and this build supports no other database; try \
                       \"postgres://user:password@host:5432/database\", or enable the feature `sqlite`";
