//! The item writer of a host, for a ledger in SQLite.

use rusqlite::Connection;

use crate::{
    ledger::{BoxError, NewItemRow},
    service::ItemContext,
};

/// Writes the rows of new items into a table of the host.
///
/// Called on the ledger's writer thread, after a chunk was inserted and before it is committed. It
/// receives exactly the new items, in order, and at least one. So each item is passed once in a
/// committed transaction, however often its job is tried. A crash keeps both rows or neither.
///
/// - **An error** rejects the chunk, and neither table keeps any of it. The chunk is tried again.
///   If it keeps failing, it is recorded as failed with the message of the error. (A full or
///   failing disk rejects nothing: the worker waits for it.)
/// - **A panic** fails the attempt with its message. Nothing of the chunk is kept, and the thread
///   continues.
/// - **Keep it short**: every other write waits for it. No other connection to the file can write
///   meanwhile, so do not open one.
/// - **Do not end the transaction**: several calls share it. Do not commit it, roll it back, or
///   rely on deferred constraints, which would fail all of these calls. Savepoints are fine. The
///   tables named `rocket_batch_…` belong to the ledger.
/// - **Do not wait for the service**: a call that writes would wait for this thread.
///
/// A function or closure of the same signature is an item writer; see
/// [`sqlite_item_writer`](crate::BatchFairing::sqlite_item_writer).
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes the host's rows for `items`.
    ///
    /// # Errors
    ///
    /// Any error that prevents this. Its message appears in the list of failed jobs.
    fn write(
        &self,
        transaction: &Connection,
        items: &[NewItemRow<'_>],
        context: &ItemContext<'_>,
    ) -> Result<(), BoxError>;
}

impl<F> ItemWriter for F
where
    F: Fn(&Connection, &[NewItemRow<'_>], &ItemContext<'_>) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn write(
        &self,
        transaction: &Connection,
        items: &[NewItemRow<'_>],
        context: &ItemContext<'_>,
    ) -> Result<(), BoxError> {
        self(transaction, items, context)
    }
}
