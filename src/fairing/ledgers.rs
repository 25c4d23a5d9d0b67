//! The ledger in the configured database, with the host's code for it.

use std::sync::Arc;

#[cfg(all(feature = "sqlite", feature = "postgres"))]
use super::host_rows::InTransaction;
use super::host_rows::{HostRows, LedgerParts};
use crate::ledger::{BatchPool, BoxError, Ledger};

impl HostRows {
    /// The ledger in `pool`, with the host's code for its database.
    ///
    /// # Errors
    ///
    /// If an item writer or a finish hook is for the other database only.
    pub fn ledger(&self, pool: &BatchPool, parts: &LedgerParts<'_>) -> Result<Arc<dyn Ledger>, BoxError> {
        match pool {
            #[cfg(feature = "sqlite")]
            BatchPool::Sqlite(pool) => {
                #[cfg(feature = "postgres")]
                check(["SQLite", "PostgreSQL", "sqlite"], &self.sqlite, &self.postgres)?;
                Ok(super::sqlite::ledger(pool.clone(), &self.sqlite, parts))
            }
            #[cfg(feature = "postgres")]
            BatchPool::Postgres(pool) => {
                #[cfg(feature = "sqlite")]
                check(["PostgreSQL", "SQLite", "postgres"], &self.postgres, &self.sqlite)?;
                Ok(super::postgres::ledger(pool.clone(), &self.postgres, parts))
            }
        }
    }
}

/// Checks that the host has no code for the other database only: its rows would silently be
/// missing.
#[cfg(all(feature = "sqlite", feature = "postgres"))]
fn check<W: ?Sized, H: ?Sized, V: ?Sized, I: ?Sized>(
    [database, other, prefix]: [&str; 3],
    ours: &InTransaction<W, H>,
    theirs: &InTransaction<V, I>,
) -> Result<(), BoxError> {
    for (ours, theirs, name, method) in [
        (ours.item_writer.is_some(), theirs.item_writer.is_some(), "item writer", "item_writer"),
        (ours.finish_hook.is_some(), theirs.finish_hook.is_some(), "finish hook", "finish_hook"),
    ] {
        if theirs && !ours {
            return Err(format!(
                "the ledger is in {database}, but the {name} is for {other}; add `.{prefix}_{method}(..)`"
            )
            .into());
        }
    }
    Ok(())
}
