//! The errors of a host's closures that run on the ledger's connections.

use rusqlite::Error;

use super::error::classified;
use crate::ledger::error::LedgerError;

/// The error of a closure for [`SqliteConnection::interact`](super::SqliteConnection::interact) and
/// [`interact_mut`](super::SqliteConnection::interact_mut).
///
/// Implemented for two kinds of errors:
///
/// - Your own error type, if it implements `From<LedgerError>`: it comes back as it is. Boxed
///   errors, [`BatchError`](crate::BatchError) and [`LedgerError`] are such types. The ledger's own
///   errors, such as a database that does not respond, are converted into it.
/// - `rusqlite::Error`: it comes back as the [`LedgerError`] that says what you can do about it.
///
/// If the closure ends in `Ok(..)`, name the type there: `Ok::<_, ShopError>(..)`.
///
/// ```
/// use rocket_batch::{BatchDb, BatchError, BatchService, LedgerError, sqlite::rusqlite};
/// use rocket_db_pools::Connection;
///
/// #[derive(Debug, thiserror::Error)]
/// enum ShopError {
///     #[error("the shelf is full")]
///     ShelfIsFull,
///     #[error(transparent)]
///     Batch(#[from] BatchError),
///     #[error(transparent)]
///     Ledger(#[from] LedgerError),
///     #[error(transparent)]
///     Sqlite(#[from] rusqlite::Error),
/// }
///
/// async fn place(id: i64, db: Connection<BatchDb>, batches: BatchService) -> Result<(), ShopError> {
///     let placing = db.sqlite().map_err(BatchError::from)?.interact_mut(move |transaction| {
///         if transaction.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0))? >= 100 {
///             return Err(ShopError::ShelfIsFull);
///         }
///         transaction.execute("INSERT INTO orders (id) VALUES (?1)", [id])?;
///         Ok(())
///     });
///     placing.await?;
///     batches.wake_feeder();
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a closure on the ledger's connection",
    note = "implement `From<rocket_batch::LedgerError>` for it, or return `rusqlite::Error`"
)]
pub trait InteractError: sealed::Sealed + Send + 'static {
    /// The error that the call returns.
    type Returned: From<LedgerError> + Send + 'static;

    /// Converts the error of a closure during `operation`, a verb phrase.
    #[doc(hidden)]
    fn returned(self, operation: &'static str) -> Self::Returned;
}

impl<E: From<LedgerError> + Send + 'static> InteractError for E {
    type Returned = Self;

    fn returned(self, _: &'static str) -> Self {
        self
    }
}

impl InteractError for Error {
    type Returned = LedgerError;

    fn returned(self, operation: &'static str) -> LedgerError {
        classified(self, operation)
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}

    impl<E: From<crate::ledger::error::LedgerError>> Sealed for E {}
    impl Sealed for rusqlite::Error {}
}
