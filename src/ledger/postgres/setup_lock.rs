//! The lock under which a host prepares its own tables: of several processes that start at once,
//! one does so at a time.

use tokio_postgres::Client;

use super::{error::message_of, pool::PostgresPool};
use crate::ledger::open::OpenError;

/// Another process may be running a long migration.
const TIMEOUTS: &str = "SET lock_timeout = '10min'; SET statement_timeout = '10min'";
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('rocket_batch setup of ' || $1, 0))";

/// The lock, until this is dropped.
pub struct SetupLock(#[expect(dead_code, reason = "the server releases the lock when it is dropped")] Client);

impl PostgresPool {
    /// Waits for the lock of the ledger's schema, on a connection of its own.
    ///
    /// # Errors
    ///
    /// If the server can't be reached, or another process has had the lock for 10 minutes.
    pub(crate) async fn lock_setup(&self) -> Result<SetupLock, OpenError> {
        let locking = async {
            let client = self.own_client().await?;
            client.batch_execute(TIMEOUTS).await?;
            client.query_one(LOCK, &[&&**self.schema()]).await?;
            Ok(SetupLock(client))
        };
        locking.await.map_err(|error| {
            OpenError::url(format!("names a database that could not be locked for setup: {}", message_of(&error)))
        })
    }
}
