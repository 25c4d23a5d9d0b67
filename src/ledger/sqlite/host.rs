//! Creates batches in transactions of the host, on its own connections to the ledger's file.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;

use super::{
    address::Address,
    create::create,
    error::{Result, VerbError},
    pool::SqlitePool,
    summarize,
};
use crate::ledger::{
    error::{self, LedgerError, failed},
    query::Backlog,
    types::{Created, NewBatch},
};

const OPERATION: &str = "create a batch in a transaction of the host";

const HAS_TABLES: &str = "SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE name = 'rocket_batch_batches')";

/// Creates batches in transactions that the host commits or rolls back.
#[derive(Debug, Clone)]
pub struct HostTransactions(Arc<Address>);

impl HostTransactions {
    /// Creates batches in the ledger of `pool`.
    #[must_use]
    pub fn new(pool: &SqlitePool) -> Self {
        Self(Arc::new(pool.address().clone()))
    }

    /// Returns `conn` as a connection to the ledger, if its main database is the ledger's.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the database did not respond.
    pub fn on<'c>(&self, conn: &'c Connection) -> error::Result<Option<HostConnection<'c>>> {
        let is_ledger =
            self.has_path_of(conn) && conn.query_row(HAS_TABLES, [], |row| row.get(0)).map_err(into_ledger_error)?;
        Ok(is_ledger.then_some(HostConnection(conn)))
    }

    fn has_path_of(&self, conn: &Connection) -> bool {
        match (&*self.0, conn.path().filter(|path| !path.is_empty())) {
            (Address::File(ledger), Some(path)) => Path::new(path).canonicalize().is_ok_and(|path| path == *ledger),
            (Address::Memory, None) => true,
            (Address::File(_), None) | (Address::Memory, Some(_)) => false,
        }
    }
}

/// A connection of the host whose main database is the ledger's.
#[derive(Debug, Clone, Copy)]
pub struct HostConnection<'c>(&'c Connection);

impl HostConnection<'_> {
    /// Reads the remaining work of at most `limit` batches, and the measured speed.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] if the database did not respond.
    pub fn backlog(self, limit: u64) -> error::Result<Backlog> {
        summarize::backlog(self.0, limit).map_err(into_ledger_error)
    }

    /// Inserts a batch and its jobs in the current transaction, or in one of its own if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`LedgerError::IdInUse`] if the id is in use. After every error nothing of the batch is
    /// left, and the transaction can continue, unless SQLite itself rolled it back.
    pub fn create(self, batch: &NewBatch) -> error::Result<Created> {
        let created = check_writable(self.0).and_then(|()| if_created(self.0, batch));
        created.map_err(into_ledger_error)
    }
}

/// Rejects a connection on which `interact` reads.
fn check_writable(conn: &Connection) -> Result<()> {
    if conn.pragma_query_value(None, "query_only", |row| row.get(0))? {
        return Err(failed(OPERATION, "the connection can only read; use `interact_mut`").into());
    }
    Ok(())
}

/// Keeps the batch completely or not at all.
fn if_created(conn: &Connection, batch: &NewBatch) -> Result<Created> {
    // A savepoint alone would begin a transaction that reads first. If another process wrote
    // meanwhile, it could not write any more.
    let [begin, keep, undo] = if conn.is_autocommit() {
        ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]
    } else {
        ["SAVEPOINT rocket_batch", "RELEASE rocket_batch", "ROLLBACK TO rocket_batch; RELEASE rocket_batch"]
    };
    conn.execute_batch(begin)?;
    let created = create(conn, batch).and_then(|created| {
        conn.execute_batch(keep)?;
        Ok(created)
    });
    if created.is_err() && !conn.is_autocommit() {
        conn.execute_batch(undo)?;
    }
    created
}

fn into_ledger_error(error: impl Into<VerbError>) -> LedgerError {
    error.into().into_ledger_error(OPERATION)
}
