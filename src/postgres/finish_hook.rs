//! The finish hook of a host, for a ledger in PostgreSQL.

use rocket::futures::future::BoxFuture;
use tokio_postgres::Transaction;

use crate::{domain::BatchFinished, ledger::BoxError, service::HookContext};

/// Writes the host's rows for a finished batch, in the transaction that finishes it.
///
/// Called for each batch that is completed, failed or cancelled; after a retry once more, with the
/// next `round`. Your rows and the status of the batch are committed together or not at all, so
/// each end of a batch is in your tables exactly once. The function itself may be called several
/// times, because a transaction may be rolled back: do in it only what a rollback undoes.
///
/// - **An error, a panic or more time than `hook_timeout`** keeps the batch from finishing, and
///   neither your tables nor the ledger's keep anything. The hook is called again after
///   `status.backoff`, then after longer delays, up to `status.max_backoff`, without a limit.
///   Meanwhile the progress of the batch says `waitingFor: "hook"`, and each call logs a line with
///   the error. A cancel is refused with the error instead: the service returns
///   [`BatchError::HookFailed`](crate::BatchError::HookFailed), and the route responds with 409.
/// - **Keep it short**: the batch is locked meanwhile. The server ends a statement, and a pause
///   between two statements, after `statement_timeout`. A call of the service that changes this
///   batch would wait for the lock until it times out.
/// - **Do not end the transaction**: it is committed after the hook returns. Savepoints are fine,
///   with the SQL command `SAVEPOINT`. The search path is `public` and the ledger's schema. The
///   ledger's tables are read-only for you.
///
/// A function of the same signature is a finish hook; see
/// [`postgres_finish_hook`](crate::BatchFairing::postgres_finish_hook).
pub trait FinishHook: Send + Sync + 'static {
    /// Writes the host's rows for the end of a batch.
    ///
    /// # Errors
    ///
    /// Any error that prevents this. It keeps the batch from finishing.
    fn finish<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        end: &'a BatchFinished,
        context: &'a HookContext,
    ) -> BoxFuture<'a, Result<(), BoxError>>;
}

impl<F> FinishHook for F
where
    F: for<'a> Fn(&'a Transaction<'_>, &'a BatchFinished, &'a HookContext) -> BoxFuture<'a, Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    fn finish<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        end: &'a BatchFinished,
        context: &'a HookContext,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        self(transaction, end, context)
    }
}
