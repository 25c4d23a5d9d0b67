//! The host's own rows, in the transaction that inserts the items.

use rocket::futures::future::BoxFuture;
use tokio_postgres::Transaction;

use super::{
    error::{Result, is_unavailable, message_of, unavailable},
    search_path::with_path_of_host,
};
use crate::domain::error_chain;
use crate::ledger::{
    error::{BoxError, LedgerError},
    types::NewItemRow,
};

/// Writes the rows of new items into a table of the host.
///
/// Called after a chunk was inserted and before it is committed, with exactly the new items, in
/// order, and at least one. So each item is passed once in a committed transaction, however often
/// its job is tried. A crash keeps both rows or neither.
///
/// - **An error** refuses the chunk, and neither table keeps any of it. The chunk is tried again.
///   If it keeps failing, it is recorded as failed with the message of the error. (A deadlock, a
///   lost connection or a full disk is not a refusal: the worker waits and repeats the chunk.)
/// - **A panic** fails the attempt with its message. Nothing of the chunk is kept.
/// - **Keep it short**: the job is locked meanwhile, and `statement_timeout` limits each statement.
/// - **Do not end the transaction**: it is committed after the writer returns. Savepoints are fine,
///   with the SQL command `SAVEPOINT`. The search path is `public` and the ledger's schema. The
///   ledger's tables are read-only for you.
///
/// A function of the same signature is an item writer; see
/// [`postgres_item_writer`](crate::BatchFairing::postgres_item_writer).
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes the host's rows for `items`.
    ///
    /// # Errors
    ///
    /// Any error that prevents this. Its message appears in the list of failed jobs.
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>>;
}

impl<F> ItemWriter for F
where
    F: for<'a> Fn(&'a Transaction<'_>, &'a [NewItemRow<'a>]) -> BoxFuture<'a, std::result::Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>> {
        self(transaction, items)
    }
}

/// Calls `writer` with the host's search path, and classifies its error.
pub(super) async fn call(
    writer: &dyn ItemWriter,
    transaction: &Transaction<'_>,
    schema: &str,
    items: &[NewItemRow<'_>],
) -> Result<()> {
    let written = with_path_of_host(transaction, schema, writer.write(transaction, items)).await?;
    Ok(written.map_err(classified)?)
}

/// Classifies an error of the host. An error that would affect the ledger too is no refusal.
fn classified(error: BoxError) -> LedgerError {
    match error.downcast_ref::<tokio_postgres::Error>() {
        Some(cause) if is_unavailable(cause) => unavailable("insert items", error),
        Some(cause) => LedgerError::Refused { why: message_of(cause) },
        None => LedgerError::Refused { why: error_chain(&*error) },
    }
}
