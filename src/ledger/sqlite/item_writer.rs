//! The host's own rows, in the transaction that inserts the items.

use rusqlite::{Connection, ErrorCode};

use super::error::{failed, unavailable};
use crate::domain::error_chain;
use crate::ledger::{
    error::{BoxError, LedgerError, Result},
    types::NewItemRow,
};

/// Writes the rows of new items into a table of the host.
///
/// Called on the ledger's writer thread, after a chunk was inserted and before it is committed. It
/// receives exactly the new items, in order, and at least one. So each item is passed once in a
/// committed transaction, however often its job is tried. A crash keeps both rows or neither.
///
/// - **An error** refuses the chunk, and neither table keeps any of it. The chunk is tried again.
///   If it keeps failing, it is recorded as failed with the message of the error. (A full or
///   failing disk is not a refusal: the worker waits for it.)
/// - **A panic** fails the attempt with its message. Nothing of the chunk is kept, and the thread
///   continues.
/// - **Keep it short**: every other write waits for it. No other connection to the file can write
///   meanwhile, so do not open one.
/// - **Do not end the transaction**: several calls share it. Do not commit it, roll it back, or
///   rely on deferred constraints, which would fail all of these calls. Savepoints are fine. The
///   tables named `rocket_batch_…` belong to the ledger.
///
/// A function or closure of the same signature is an item writer; see
/// [`sqlite_item_writer`](crate::BatchFairing::sqlite_item_writer).
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes the host's rows for `items`.
    ///
    /// # Errors
    ///
    /// Any error that prevents this. Its message appears in the list of failed jobs.
    fn write(&self, transaction: &Connection, items: &[NewItemRow<'_>]) -> std::result::Result<(), BoxError>;
}

impl<F> ItemWriter for F
where
    F: Fn(&Connection, &[NewItemRow<'_>]) -> std::result::Result<(), BoxError> + Send + Sync + 'static,
{
    fn write(&self, transaction: &Connection, items: &[NewItemRow<'_>]) -> std::result::Result<(), BoxError> {
        self(transaction, items)
    }
}

/// Calls `writer`, and checks that the transaction was not ended.
pub(super) fn call(writer: &dyn ItemWriter, conn: &Connection, items: &[NewItemRow<'_>]) -> Result<()> {
    writer.write(conn, items).map_err(classified)?;
    if conn.is_autocommit() {
        return Err(failed(OPERATION, "the item writer ended the shared transaction"));
    }
    Ok(())
}

const OPERATION: &str = "insert items";

/// Classifies an error of the host. A disk error would affect the ledger too; any other error
/// refuses the rows.
fn classified(error: BoxError) -> LedgerError {
    use ErrorCode as Code;
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(Code::DiskFull | Code::SystemIoFailure | Code::OutOfMemory) => unavailable(OPERATION, error),
        _ => LedgerError::Refused { why: error_chain(&*error) },
    }
}
