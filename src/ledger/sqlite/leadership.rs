//! The leadership: the process that locks the file beside the database works the ledger with an
//! in-process queue.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

use tokio::task::spawn_blocking;

use super::{
    address::{Address, private},
    error::unavailable,
    pool::SqlitePool,
};
use crate::ledger::{error::Result, leadership::Leadership};

const OPERATION: &str = "acquire the leadership";

/// Acquires the leadership if it is free. The operating system releases the lock when the process
/// dies.
pub(super) async fn try_acquire(pool: &SqlitePool) -> Result<Option<Leadership>> {
    let token = pool.token(OPERATION)?;
    let Address::File(path) = pool.address() else {
        // Only this pool can reach the database.
        return Ok(token.try_acquire_owned().ok().map(Leadership::new));
    };
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    match spawn_blocking(move || locked(lock.as_ref())).await {
        Ok(Ok(file)) => Ok(file.map(Leadership::new)),
        Ok(Err(error)) => Err(unavailable(OPERATION, error)),
        Err(ended) => Err(unavailable(OPERATION, ended)),
    }
}

fn locked(path: &Path) -> io::Result<Option<File>> {
    // Never deleted: another process could lock a new file of the same name, and both would be
    // leaders.
    let file = private().create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
