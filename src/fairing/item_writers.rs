//! The host's item writers, and the ledgers that call them.

use std::sync::Arc;

#[cfg(feature = "postgres")]
use crate::ledger::postgres::{PostgresLedger, PostgresPool};
#[cfg(feature = "sqlite")]
use crate::ledger::sqlite::{SqliteLedger, SqlitePool};
use crate::ledger::{BatchPool, BoxError, Ledger, Rules};

/// One writer per database. A host that is configured for either can have both.
#[derive(Default)]
pub(super) struct ItemWriters {
    #[cfg(feature = "sqlite")]
    pub sqlite: Option<Arc<dyn crate::sqlite::ItemWriter>>,
    #[cfg(feature = "postgres")]
    pub postgres: Option<Arc<dyn crate::postgres::ItemWriter>>,
}

impl ItemWriters {
    /// The ledger in `pool`, with the writer for its database.
    ///
    /// # Errors
    ///
    /// If there is a writer for the other database only.
    pub fn ledger(&self, pool: &BatchPool, rules: Rules) -> Result<Arc<dyn Ledger>, BoxError> {
        match pool {
            #[cfg(feature = "sqlite")]
            BatchPool::Sqlite(pool) => self.sqlite_ledger(pool.clone(), rules),
            #[cfg(feature = "postgres")]
            BatchPool::Postgres(pool) => self.postgres_ledger(pool.clone(), rules),
        }
    }

    #[cfg(feature = "sqlite")]
    fn sqlite_ledger(&self, pool: SqlitePool, rules: Rules) -> Result<Arc<dyn Ledger>, BoxError> {
        #[cfg(feature = "postgres")]
        if self.sqlite.is_none() && self.postgres.is_some() {
            let error = "the ledger is in SQLite, but the item writer is for PostgreSQL; add `.sqlite_item_writer(..)`";
            return Err(error.into());
        }
        let ledger = SqliteLedger::new(pool, rules);
        Ok(match &self.sqlite {
            Some(writer) => Arc::new(ledger.with_item_writer(writer.clone())),
            None => Arc::new(ledger),
        })
    }

    #[cfg(feature = "postgres")]
    fn postgres_ledger(&self, pool: PostgresPool, rules: Rules) -> Result<Arc<dyn Ledger>, BoxError> {
        #[cfg(feature = "sqlite")]
        if self.postgres.is_none() && self.sqlite.is_some() {
            let error =
                "the ledger is in PostgreSQL, but the item writer is for SQLite; add `.postgres_item_writer(..)`";
            return Err(error.into());
        }
        let ledger = PostgresLedger::new(pool, rules);
        Ok(match &self.postgres {
            Some(writer) => Arc::new(ledger.with_item_writer(writer.clone())),
            None => Arc::new(ledger),
        })
    }
}
