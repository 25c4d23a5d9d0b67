//! Connections that only read, beside the writer and never in its way.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
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
    error::{self, broken, shut, unavailable},
};
use crate::ledger::Result;

/// At most so many connections, opened when they are first needed and kept.
pub(super) struct Readers {
    idle: Arc<Idle>,
    free: Arc<Semaphore>,
    max: u32,
    patience: Duration,
}

struct Idle {
    path: PathBuf,
    patience: Duration,
    connections: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Up to `max` readers of the database at `path`. A call waits at most `patience` for one of
    /// them.
    pub(super) fn new(path: PathBuf, max: u32, patience: Duration) -> Self {
        let idle = Arc::new(Idle { path, patience, connections: Mutex::default() });
        Self { idle, free: Arc::new(Semaphore::new(max as usize)), max, patience }
    }

    /// Runs `work` on one snapshot of the database.
    pub(super) async fn call<T, F>(&self, operation: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> error::Result<T> + Send + 'static,
    {
        let place = self.place(operation).await?;
        let idle = Arc::clone(&self.idle);
        let reading = spawn_blocking(move || {
            let _place = place;
            idle.read(work).map_err(|stop| stop.while_trying_to(operation))
        });
        reading.await.unwrap_or_else(|ended| {
            Err(if ended.is_panic() { broken(operation, ended) } else { unavailable(operation, ended) })
        })
    }

    async fn place(&self, operation: &'static str) -> Result<OwnedSemaphorePermit> {
        match timeout(self.patience, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(shut(operation)),
            Err(_elapsed) => Err(unavailable(operation, "all readers stayed busy")),
        }
    }

    /// Takes no more calls and closes the connections, as soon as nobody reads.
    pub(super) async fn close(&self) {
        // Calls that come now wait behind this one, and are then told. A work of the host that does
        // not end is left behind.
        let _all = timeout(self.patience, self.free.acquire_many(self.max)).await;
        self.free.close();
        self.idle.connections().clear();
    }
}

impl Idle {
    fn read<T>(&self, work: impl FnOnce(&mut Connection) -> error::Result<T>) -> error::Result<T> {
        let kept = self.connections().pop();
        let mut conn = kept.map_or_else(|| reader(&self.path, self.patience), Ok)?;
        conn.execute_batch("BEGIN")?;
        let answer = work(&mut conn);
        // One that can't be brought back to rest is dropped, and so is one whose work panicked.
        if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            self.connections().push(conn);
        }
        answer
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
