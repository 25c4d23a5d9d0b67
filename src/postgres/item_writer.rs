//! The item writer of a host, for a ledger in PostgreSQL.

use rocket::futures::future::BoxFuture;
use tokio_postgres::Transaction;

use crate::{
    ledger::{BoxError, NewItemRow},
    service::ItemContext,
};

/// Writes the rows of new items into a table of the host.
///
/// Called after a chunk was inserted and before it is committed, with exactly the new items, in
/// order, and at least one. So each item is passed once in a committed transaction, however often
/// its job is tried. A crash keeps both rows or neither.
///
/// - **An error** rejects the chunk, and neither table keeps any of it. The chunk is tried again.
///   If it keeps failing, it is recorded as failed with the message of the error. (A deadlock, a
///   lost connection or a full disk rejects nothing: the worker waits and repeats the chunk.)
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
        context: &'a ItemContext<'a>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

impl<F> ItemWriter for F
where
    F: for<'a> Fn(
            &'a Transaction<'_>,
            &'a [NewItemRow<'a>],
            &'a ItemContext<'a>,
        ) -> BoxFuture<'a, Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
        context: &'a ItemContext<'a>,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        self(transaction, items, context)
    }
}
