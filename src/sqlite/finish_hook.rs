//! The finish hook of a host, for a ledger in SQLite.

use rusqlite::Connection;

use crate::{domain::BatchFinished, ledger::BoxError, service::HookContext};

/// Writes the host's rows for a finished batch, in the transaction that finishes it.
///
/// Called on the ledger's writer thread for each batch that is completed, failed or cancelled;
/// after a retry once more, with the next `round`. Your rows and the status of the batch are
/// committed together or not at all, so each end of a batch is in your tables exactly once. The
/// function itself may be called several times, because a transaction may be rolled back: do in it
/// only what a rollback undoes.
///
/// - **An error or a panic** keeps the batch from finishing, and neither your tables nor the
///   ledger's keep anything. The hook is called again after `status.backoff`, then after longer
///   delays, up to `status.max_backoff`, without a limit. Meanwhile the progress of the batch says
///   `waitingFor: "hook"`, and each call logs a line with the error. A cancel is refused with the
///   error instead: the service returns [`BatchError::HookFailed`](crate::BatchError::HookFailed),
///   and the route responds with 409.
/// - **Keep it short**: every other write waits for it, and no timeout can interrupt it. No other
///   connection to the file can write meanwhile, so do not open one.
/// - **Do not end the transaction**: several calls share it. Do not commit it, roll it back, or
///   rely on deferred constraints, which would fail all of these calls. Savepoints are fine. The
///   tables named `rocket_batch_…` belong to the ledger.
/// - **Do not wait for the service**: a call that writes would wait for this thread.
///
/// A function or closure of the same signature is a finish hook; see
/// [`sqlite_finish_hook`](crate::BatchFairing::sqlite_finish_hook).
pub trait FinishHook: Send + Sync + 'static {
    /// Writes the host's rows for the end of a batch.
    ///
    /// # Errors
    ///
    /// Any error that prevents this. It keeps the batch from finishing.
    fn finish(&self, transaction: &Connection, end: &BatchFinished, context: &HookContext) -> Result<(), BoxError>;
}

impl<F> FinishHook for F
where
    F: Fn(&Connection, &BatchFinished, &HookContext) -> Result<(), BoxError> + Send + Sync + 'static,
{
    fn finish(&self, transaction: &Connection, end: &BatchFinished, context: &HookContext) -> Result<(), BoxError> {
        self(transaction, end, context)
    }
}
