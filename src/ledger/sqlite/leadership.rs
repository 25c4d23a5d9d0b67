//! Who works this database with a queue of its own: the process that holds the lock of the file
//! beside it.

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
use crate::ledger::{Leadership, Result};

const OPERATION: &str = "take the lead";

/// Takes the lead if nobody has it. The system frees the lock when the process dies, however it
/// dies.
pub(super) async fn try_acquire(pool: &SqlitePool) -> Result<Option<Leadership>> {
    let token = pool.token(OPERATION)?;
    let Address::File(path) = pool.address() else {
        // Nobody else sees this database, so the pool alone is to be shared.
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
    // Never removed: another process could then lock a file of the same name, and both would lead.
    let file = private().create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
