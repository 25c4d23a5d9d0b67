//! Commands to Redis, each with a timeout.
//!
//! A socket can stop answering without an error, and the `redis` crate would then wait forever. So
//! a round trip that fails or times out drops all idle connections, and the next one opens a new
//! connection.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use redis::{Client, Cmd, FromRedisValue, Pipeline, ScriptInvocation};
use rocket_db_pools::Pool as _;
use tokio::time::timeout;

use super::{
    error::{BoxResult, is_permission_error, timed_out},
    pool::RedisPool,
    timeouts::ROUND_TRIP_TIMEOUT,
};
use crate::telemetry::events;

/// Sends commands over the connections of a pool.
pub(super) struct RoundTrips {
    pool: RedisPool,
    /// Failed round trips, and moves to another server.
    failures: AtomicU64,
    /// Whether the last round trip failed.
    is_away: AtomicBool,
}

impl RoundTrips {
    pub const fn new(pool: RedisPool) -> Self {
        Self { pool, failures: AtomicU64::new(0), is_away: AtomicBool::new(false) }
    }

    pub const fn pool(&self) -> &RedisPool {
        &self.pool
    }

    /// Returns the number of failed round trips and of changes of the server. Replace a connection
    /// that is older than the last increase.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Sends all further commands to another server.
    pub fn redirect_to(&self, client: &Client) -> BoxResult<()> {
        self.pool.redirect_to(client)?;
        // Makes the owners of other connections to the old server replace them.
        self.failures.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Sends one command.
    pub async fn command<T: FromRedisValue + Send>(&self, command: Cmd) -> BoxResult<T> {
        self.within_timeout(async {
            let mut connection = self.pool.current().get().await?;
            Ok(command.query_async(&mut connection).await?)
        })
        .await
    }

    /// Sends several commands at once.
    pub async fn pipeline<T: FromRedisValue + Send>(&self, commands: Pipeline) -> BoxResult<T> {
        self.within_timeout(async {
            let mut connection = self.pool.current().get().await?;
            Ok(commands.query_async(&mut connection).await?)
        })
        .await
    }

    /// Runs one script.
    pub async fn script<T: FromRedisValue + Send>(&self, call: &ScriptInvocation<'_>) -> BoxResult<T> {
        self.within_timeout(async {
            let mut connection = self.pool.current().get().await?;
            Ok(call.invoke_async(&mut connection).await?)
        })
        .await
    }

    /// Closes the connections. Later commands fail.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn within_timeout<T>(&self, work: impl Future<Output = BoxResult<T>> + Send) -> BoxResult<T> {
        let result = timeout(ROUND_TRIP_TIMEOUT, work).await.unwrap_or_else(|_| Err(timed_out(ROUND_TRIP_TIMEOUT)));
        if let Err(error) = &result
            && !is_permission_error(error)
        {
            // The cause may affect every connection.
            self.failures.fetch_add(1, Ordering::SeqCst);
            self.is_away.store(true, Ordering::Relaxed);
            self.pool.current().retain(|_, _| false);
        } else if result.is_ok() && self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed)
        {
            events::reconnected("redis");
        }
        result
    }
}
