//! The database of the ledger, whichever it is, and what a host may do with it.
//!
//! The URL says which: `sqlite://batch.db`, `postgres://user:password@host/database`.

use async_trait::async_trait;
use rocket::figment::Figment;
use rocket_db_pools::{Error, Pool};
use serde::Deserialize;

use super::LedgerError;
#[cfg(feature = "postgres")]
use super::postgres::{HostTransactions, PostgresConnection, PostgresPool};
#[cfg(feature = "sqlite")]
use super::sqlite::{SqliteConnection, SqlitePool};
use crate::domain::ItemOptions;

/// The database of the ledger, for handlers of the host: `db: Connection<BatchDb>`, with the
/// `Connection` of `rocket_db_pools` 0.2.
///
/// A host knows which database it configured, and asks for that one. SQLite: `interact(..)` reads
/// one snapshot and can't change anything; `interact_mut(..)` is a transaction of the only
/// connection that writes, so keep it short, everybody waits for it. PostgreSQL: a client, bounded
/// as the ledger's own are. The ledger's tables are to be read as you like.
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
///     Ok(db.postgres()?.query_one("SELECT count(*) FROM items", &[]).await?.try_get(0)?)
/// }
/// ```
#[derive(rocket_db_pools::Database)]
#[database("batch")]
pub struct BatchDb(BatchPool);

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

/// A host's way to the database of the ledger.
#[non_exhaustive]
pub enum BatchConnection {
    /// To a SQLite file.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConnection),
    /// To a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(PostgresConnection),
}

/// The ledger is in another database than the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the ledger is not in {0}; `databases.batch.url` says where it is")]
pub struct OtherDatabase(&'static str);

#[cfg(feature = "postgres")]
impl BatchPool {
    /// A way to make batches in transactions of the host's, if the ledger is in a PostgreSQL
    /// server.
    pub(crate) fn host_transactions(&self) -> std::result::Result<HostTransactions, OtherDatabase> {
        match self {
            Self::Postgres(pool) => Ok(HostTransactions::new(pool)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Err(OtherDatabase("PostgreSQL")),
        }
    }
}

impl BatchConnection {
    /// The connection, if the ledger is in a SQLite file.
    ///
    /// # Errors
    ///
    /// [`OtherDatabase`] when it is not.
    #[cfg(feature = "sqlite")]
    pub const fn sqlite(&self) -> std::result::Result<&SqliteConnection, OtherDatabase> {
        match self {
            Self::Sqlite(connection) => Ok(connection),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Err(OtherDatabase("SQLite")),
        }
    }

    /// The client, if the ledger is in a PostgreSQL server.
    ///
    /// # Errors
    ///
    /// [`OtherDatabase`] when it is not.
    #[cfg(feature = "postgres")]
    pub const fn postgres(&mut self) -> std::result::Result<&mut PostgresConnection, OtherDatabase> {
        match self {
            Self::Postgres(connection) => Ok(connection),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Err(OtherDatabase("PostgreSQL")),
        }
    }
}

/// What the crate's own settings ask of the tables; a pool finds them beside those of its database.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default)]
pub(super) struct SchemaOptions {
    /// Whether to keep an index on the codes.
    pub index_codes: bool,
    /// Items a job of a batch that is asked for in the database itself, without a word about it.
    pub batch_size: u64,
}

impl Default for SchemaOptions {
    fn default() -> Self {
        Self { index_codes: false, batch_size: ItemOptions::default().batch_size }
    }
}

/// Why a database could not be opened: the key, what is wrong, how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("`databases.batch.{key}` {why}")]
pub struct OpenError {
    key: &'static str,
    why: String,
}

impl OpenError {
    pub(super) fn of(key: &'static str, why: impl Into<String>) -> Self {
        Self { key, why: why.into() }
    }

    pub(super) fn url(why: impl Into<String>) -> Self {
        Self::of("url", why)
    }

    // In words and not as a source, since Rocket prints the message alone.
    pub(super) fn at(address: &impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::url(format!("names {address}, which can't be used: {why}"))
    }
}

#[async_trait]
impl Pool for BatchPool {
    type Connection = BatchConnection;
    type Error = Error<OpenError, LedgerError>;

    /// Opens the database that the URL names, and brings the tables of the ledger up to date.
    async fn init(figment: &Figment) -> std::result::Result<Self, Self::Error> {
        let url: String = figment.extract_inner("url")?;
        match url.split(':').next() {
            #[cfg(feature = "sqlite")]
            Some("sqlite") => Ok(Self::Sqlite(SqlitePool::init(figment).await?)),
            #[cfg(feature = "postgres")]
            Some("postgres" | "postgresql") => Ok(Self::Postgres(PostgresPool::init(figment).await?)),
            // Not shown, since the URL of another database may carry a password.
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
const UNKNOWN: &str = "names a database that is not known; write \"sqlite://batch.db\", or \"postgres://user:password@host:5432/database\"";
#[cfg(not(feature = "postgres"))]
const UNKNOWN: &str = "names no file of SQLite, and this build knows nothing else; write \"sqlite://batch.db\", or turn on the feature `postgres`";
#[cfg(not(feature = "sqlite"))]
const UNKNOWN: &str = "names no server of PostgreSQL, and this build knows nothing else; write \
                       \"postgres://user:password@host:5432/database\", or turn on the feature `sqlite`";
