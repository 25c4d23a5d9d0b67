//! The leadership: the session that holds the schema's advisory lock works the ledger with an
//! in-process queue.
//!
//! The lock belongs to its own connection, and the server releases it when that ends for any
//! reason. If the connection breaks while this process lives, the leadership is lost: another
//! process may claim the same jobs. Their epochs then fence the earlier claims, so no item is
//! written twice, but both processes lose time. So this process watches the connection, and
//! acquires the lock again as soon as the server is back.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, error::SqlState};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{error::VerbError, pool::PostgresPool};
use crate::ledger::{
    error::{Result, unavailable},
    leadership::Leadership,
    operation,
};

const OPERATION: &str = operation::ACQUIRE_LEADERSHIP;

/// The server notices a moment later that a connection ended. Waiting longer is not worth it.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '250ms'";
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('rocket_batch leader of ' || $1, 0))";

/// The interval of checks of the connection.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait between attempts to acquire the lock again.
const REACQUIRE_INTERVAL: Duration = Duration::from_millis(100);

/// Acquires the leadership if it is free.
pub(super) async fn try_acquire(pool: &PostgresPool) -> Result<Option<Leadership>> {
    if pool.is_closed() {
        return Err(unavailable(OPERATION, "the ledger was closed"));
    }
    let pool = pool.clone();
    let acquiring = tokio::spawn(async move {
        let client = lock(&pool).await.map_err(|error| VerbError::Database(error).into_ledger_error(OPERATION))?;
        Ok(client.map(|client| Leadership::new(watch(pool, client))))
    });
    acquiring.await.unwrap_or_else(|ended| Err(unavailable(OPERATION, ended)))
}

/// Opens a connection and acquires the lock; `None` if another session holds it.
async fn lock(pool: &PostgresPool) -> std::result::Result<Option<Client>, tokio_postgres::Error> {
    let client = pool.own_client().await?;
    client.batch_execute(LOCK_TIMEOUT).await?;
    match client.query_one(LOCK, &[&&**pool.schema()]).await {
        Ok(_) => Ok(Some(client)),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps the lock until the returned guard is dropped.
fn watch(pool: PostgresPool, client: Client) -> DropGuard {
    let released = CancellationToken::new();
    let until = released.clone();
    tokio::spawn(async move {
        until.run_until_cancelled(keep(&pool, client)).await;
    });
    released.drop_guard()
}

async fn keep(pool: &PostgresPool, mut client: Client) {
    loop {
        while client.simple_query("").await.is_ok() {
            sleep(CHECK_INTERVAL).await;
        }
        tracing::warn!("leadership lost with its connection; acquiring it again");
        client = loop {
            if let Ok(Some(client)) = lock(pool).await {
                break client;
            }
            sleep(REACQUIRE_INTERVAL).await;
        };
        tracing::info!("leadership acquired again");
    }
}
