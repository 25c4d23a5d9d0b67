//! The optional index on codes, for hosts that look up items by code in their own SQL. It makes
//! inserts half as fast.
//!
//! ```text
//!   lock ──▶ state ──┬─▶ valid ─────────────────────▶ nothing to do
//!                    ├─▶ missing ──▶ build ─────────▶ valid
//!                    └─▶ invalid ──▶ drop ──▶ build     left by a crash in the middle of a build
//! ```
//!
//! Built and dropped `CONCURRENTLY`, outside of a transaction, so that other processes keep writing
//! items meanwhile. The launch waits for it.

use std::{pin::pin, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;

const STATE: &str = "SELECT i.indisvalid FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = 'items_by_code'";
const IS_PARTITIONED: &str = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'items'::regclass";

/// A build may take hours, and waits for older transactions.
const NO_TIMEOUTS: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning";

/// Tried and not awaited: a build waits for every older statement, and so would wait for the
/// session that waits for its lock.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('rocket_batch code index of ' || $1, 0))";
const LOCK_INTERVAL: Duration = Duration::from_millis(500);

/// The interval of logging the progress of a build.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
const PROGRESS: &str = "SELECT phase, blocks_done, blocks_total FROM pg_stat_progress_create_index
    WHERE relid = 'items'::regclass";

/// The index on codes of one schema.
pub(super) struct CodeIndex<'a> {
    /// The session that builds the index. Its end releases the lock.
    pub client: Client,
    pub schema: &'a str,
    /// For a second connection, which observes a long build.
    pub address: &'a Address,
    pub tls: &'a MakeRustlsConnect,
}

impl CodeIndex<'_> {
    /// Builds or drops the index, so that it exists only if it is `wanted`.
    pub(super) async fn apply(self, wanted: bool) -> Result<(), Error> {
        if self.is_valid().await? == wanted.then_some(true) {
            return Ok(());
        }
        self.client.batch_execute(NO_TIMEOUTS).await?;
        self.lock().await?;
        // Read again: another process may have done it while this one waited.
        match (self.is_valid().await?, wanted) {
            (Some(true), true) | (None, false) => Ok(()),
            (None, true) => self.build().await,
            (Some(_), false) => self.drop_index().await,
            (Some(false), true) => {
                tracing::warn!("the build of the index on codes was interrupted; building it again");
                self.drop_index().await?;
                self.build().await
            }
        }
    }

    /// Whether the index is complete; `None` if it does not exist.
    async fn is_valid(&self) -> Result<Option<bool>, Error> {
        self.client.query_opt(STATE, &[&self.schema]).await?.map(|row| row.try_get(0)).transpose()
    }

    async fn lock(&self) -> Result<(), Error> {
        while !self.client.query_one(TRY_LOCK, &[&self.schema]).await?.try_get::<_, bool>(0)? {
            sleep(LOCK_INTERVAL).await;
        }
        Ok(())
    }

    async fn build(&self) -> Result<(), Error> {
        let sql = format!("CREATE INDEX {} IF NOT EXISTS items_by_code ON items (code)", self.concurrently().await?);
        tracing::info!("building the index on codes");
        let mut build = pin!(self.client.batch_execute(&sql));
        let mut observer = None;
        loop {
            if let Ok(built) = timeout(PROGRESS_INTERVAL, &mut build).await {
                tracing::info!(success = built.is_ok(), "finished building the index on codes");
                return built;
            }
            if observer.is_none() {
                observer = self.address.connect(self.tls).await.ok();
            }
            if let Some(observer) = &observer {
                log_progress(observer).await;
            }
        }
    }

    async fn drop_index(&self) -> Result<(), Error> {
        let sql = format!("DROP INDEX {} IF EXISTS items_by_code", self.concurrently().await?);
        self.client.batch_execute(&sql).await
    }

    /// PostgreSQL can't build an index on a partitioned table concurrently.
    async fn concurrently(&self) -> Result<&'static str, Error> {
        let is_partitioned: bool = self.client.query_one(IS_PARTITIONED, &[]).await?.try_get(0)?;
        Ok(if is_partitioned { "" } else { "CONCURRENTLY" })
    }
}

/// Logs how far the build is. An error here does not affect the build.
async fn log_progress(observer: &Client) {
    let Ok(Some(row)) = observer.query_opt(PROGRESS, &[]).await else { return };
    let phase: &str = row.try_get(0).unwrap_or_default();
    let blocks_done: i64 = row.try_get(1).unwrap_or_default();
    let blocks_total: i64 = row.try_get(2).unwrap_or_default();
    tracing::info!(phase, blocks_done, blocks_total, "building the index on codes");
}
