//! A host's own rows, in the transaction that inserts ours.

use rusqlite::{Connection, ErrorCode};

use super::error::{broken, unavailable};
use crate::domain::error_chain;
use crate::ledger::{BoxError, LedgerError, NewItemRow, Result};

/// Writes the rows of new items into a table of the host's as well.
///
/// Called by the thread that writes the ledger, after a chunk was inserted and before it is
/// committed, with exactly the items that were not there before, in order, and never without any.
/// So each item comes once in a transaction that counts, however often its job is tried, and a
/// crash leaves both rows or neither.
///
/// - **An error** refuses the chunk: nothing of it is kept, in neither table. The chunk is tried
///   again and then set aside with the words of the error, as if the database had refused it. (A
///   full or failing disk is no refusal: the work waits for it.)
/// - **A panic** fails the attempt, with its message; nothing of the chunk is kept. The thread goes
///   on.
/// - **Keep it short**: everybody who writes waits for it. No other connection to the same file may
///   write meanwhile, so open none in it.
/// - **Leave the transaction alone**: several callers share it. Don't commit it, don't roll it
///   back, and don't rely on constraints that are deferred to the commit, since they fail whoever
///   shares it. A savepoint is fine. The tables named `batch_…` are to be read only.
///
/// A function or closure of the same signature is an item writer;
/// [`sqlite_item_writer`](crate::BatchFairing::sqlite_item_writer) shows one.
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes what the host wants to keep of `items`.
    ///
    /// # Errors
    ///
    /// Whatever keeps these rows from being written; people read it in the list of failed jobs.
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

/// Calls `writer`, and makes sure that the transaction is still there.
pub(super) fn call(writer: &dyn ItemWriter, conn: &Connection, items: &[NewItemRow<'_>]) -> Result<()> {
    writer.write(conn, items).map_err(sorted)?;
    if conn.is_autocommit() {
        return Err(broken(WRITING, "the item writer ended the transaction, which several share"));
    }
    Ok(())
}

const WRITING: &str = "write items";

/// A disk that fails in the host's table fails in ours as well; everything else is about the rows.
fn sorted(error: BoxError) -> LedgerError {
    use ErrorCode as Code;
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(Code::DiskFull | Code::SystemIoFailure | Code::OutOfMemory) => unavailable(WRITING, error),
        _ => LedgerError::Refused { why: error_chain(&*error) },
    }
}
