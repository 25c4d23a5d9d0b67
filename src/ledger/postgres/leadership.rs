//! Who works this schema with a queue of its own: the session that holds its advisory lock.
//!
//! The lock belongs to a connection of its own, and the server frees it when that ends, however it
//! ends. If it breaks while this process lives, the lead is lost: another process may begin the
//! same jobs, and the epochs fence whoever began them before, so nothing is made twice, but both
//! lose time. So the connection is watched, and the lock is taken again as soon as the server is
//! back.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, error::SqlState};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    error::{VerbError, unavailable},
    pool::PostgresPool,
};
use crate::ledger::{Leadership, Result};

const OPERATION: &str = "take the lead";

/// The server hears of a connection that ended a moment later; longer than that nobody waits.
const WAIT: &str = "SET lock_timeout = '250ms'";
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('rocket_batch leader of ' || $1, 0))";

/// How often the connection is tried, and how long to wait for the server to come back.
const LOOK: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(100);

/// Takes the lead if nobody has it.
pub(super) async fn try_acquire(pool: &PostgresPool) -> Result<Option<Leadership>> {
    if pool.is_closed() {
        return Err(unavailable(OPERATION, "the ledger was shut"));
    }
    let pool = pool.clone();
    let taking = tokio::spawn(async move {
        let held = locked(&pool).await.map_err(|error| VerbError::Database(error).while_trying_to(OPERATION))?;
        Ok(held.map(|client| Leadership::new(watch(pool, client))))
    });
    taking.await.unwrap_or_else(|ended| Err(unavailable(OPERATION, ended)))
}

/// A connection that has the lock.
async fn locked(pool: &PostgresPool) -> std::result::Result<Option<Client>, tokio_postgres::Error> {
    let client = pool.own_client().await?;
    client.batch_execute(WAIT).await?;
    match client.query_one(LOCK, &[&pool.schema()]).await {
        Ok(_) => Ok(Some(client)),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Holds the lock until the guard is dropped.
fn watch(pool: PostgresPool, client: Client) -> DropGuard {
    let given_up = CancellationToken::new();
    let held = given_up.clone();
    tokio::spawn(async move {
        held.run_until_cancelled(keep(&pool, client)).await;
    });
    given_up.drop_guard()
}

async fn keep(pool: &PostgresPool, mut client: Client) {
    loop {
        while client.simple_query("").await.is_ok() {
            sleep(LOOK).await;
        }
        tracing::warn!("the connection that held the lead broke; the lead is taken again when the server is back");
        client = loop {
            if let Ok(Some(client)) = locked(pool).await {
                break client;
            }
            sleep(AGAIN).await;
        };
        tracing::info!("the lead is taken again");
    }
}
