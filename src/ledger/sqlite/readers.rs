//! Connections that only read. They never block the writer.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    address::reader,
    error::{classified, closed},
};
#[cfg(feature = "metrics")]
use crate::ledger::PoolUsage;
use crate::ledger::error::{LedgerError, failed, unavailable};

/// A pool of reading connections, each opened when it is first needed.
pub(super) struct Readers {
    idle: Arc<Idle>,
    free: Arc<Semaphore>,
    max: u32,
    wait_timeout: Duration,
    /// Calls that wait for a reader.
    waiting: AtomicUsize,
}

struct Idle {
    path: PathBuf,
    wait_timeout: Duration,
    connections: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Up to `max` readers of the database at `path`. A call waits at most `wait_timeout` for one.
    pub(super) fn new(path: PathBuf, max: u32, wait_timeout: Duration) -> Self {
        let idle = Arc::new(Idle { path, wait_timeout, connections: Mutex::default() });
        Self { idle, free: Arc::new(Semaphore::new(max as usize)), max, wait_timeout, waiting: AtomicUsize::new(0) }
    }

    /// Runs `work` on one snapshot of the database. An error of `work` comes back as it is.
    pub(super) async fn call<T, E, F>(&self, operation: &'static str, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<LedgerError> + Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        let permit = self.permit(operation).await?;
        let idle = Arc::clone(&self.idle);
        let reading = spawn_blocking(move || {
            let _permit = permit;
            idle.read(operation, work)
        });
        reading.await.unwrap_or_else(|ended| {
            let error = if ended.is_panic() { failed(operation, ended) } else { unavailable(operation, ended) };
            Err(error.into())
        })
    }

    async fn permit(&self, operation: &'static str) -> Result<OwnedSemaphorePermit, LedgerError> {
        let _waiting = Counted::new(&self.waiting);
        match timeout(self.wait_timeout, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(closed(operation)),
            Err(_elapsed) => Err(unavailable(operation, "all readers are busy")),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn usage(&self) -> PoolUsage {
        let used = (self.max as usize).saturating_sub(self.free.available_permits());
        PoolUsage { used, idle: self.idle.connections().len(), waiting: self.waiting.load(Relaxed) }
    }

    /// Accepts no more calls, and closes the connections when running calls have ended.
    pub(super) async fn close(&self) {
        // Later calls wait behind this one and then fail. Work of the host that does not end in
        // time is abandoned.
        let _all = timeout(self.wait_timeout, self.free.acquire_many(self.max)).await;
        self.free.close();
        self.idle.connections().clear();
    }
}

/// Counts a call until this is dropped, also when its future is.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Idle {
    fn read<T, E: From<LedgerError>>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.begin().map_err(|error| classified(error, operation))?;
        let answer = work(&mut conn);
        // A connection that can't be rolled back is dropped, and so is one whose work panicked.
        if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            self.connections().push(conn);
        }
        answer
    }

    /// Takes or opens a connection and begins its transaction.
    fn begin(&self) -> rusqlite::Result<Connection> {
        let idle = self.connections().pop();
        let conn = idle.map_or_else(|| reader(&self.path, self.wait_timeout), Ok)?;
        conn.execute_batch("BEGIN")?;
        Ok(conn)
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
