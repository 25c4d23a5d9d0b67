//! A host's own rows, in the transaction that inserts ours.

use rocket::futures::future::BoxFuture;
use tokio_postgres::Transaction;

use super::error::{in_words, is_unavailable, unavailable};
use crate::domain::error_chain;
use crate::ledger::{BoxError, LedgerError, NewItemRow, Result};

/// Writes the rows of new items into a table of the host's as well.
///
/// Called after a chunk was inserted and before it is committed, with exactly the items that were
/// not there before, in order, and never without any. So each item comes once in a transaction that
/// counts, however often its job is tried, and a crash leaves both rows or neither.
///
/// - **An error** refuses the chunk: nothing of it is kept, in neither table. The chunk is tried
///   again and then set aside with the words of the error, as if the database had refused it. (A
///   deadlock, a lost connection or a full disk is no refusal: the work waits and repeats it.)
/// - **A panic** fails the attempt, with its message; nothing of the chunk is kept.
/// - **Keep it short**: the job is locked meanwhile, and the transaction is bounded by
///   `statement_timeout`.
/// - **Leave the transaction alone**: it is committed when the writer answers. A savepoint is fine,
///   by the SQL of that name. The search path is the ledger's schema and `public`. The ledger's
///   tables are to be read only.
///
/// A function of the same signature is an item writer;
/// [`postgres_item_writer`](crate::BatchFairing::postgres_item_writer) shows one.
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes what the host wants to keep of `items`.
    ///
    /// # Errors
    ///
    /// Whatever keeps these rows from being written; people read it in the list of failed jobs.
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

/// Calls `writer`, and sorts its error.
pub(super) async fn call(
    writer: &dyn ItemWriter,
    transaction: &Transaction<'_>,
    items: &[NewItemRow<'_>],
) -> Result<()> {
    writer.write(transaction, items).await.map_err(|error| match error.downcast_ref::<tokio_postgres::Error>() {
        Some(said) if is_unavailable(said) => unavailable("write items", error),
        Some(said) => LedgerError::Refused { why: in_words(said) },
        None => LedgerError::Refused { why: error_chain(&*error) },
    })
}
