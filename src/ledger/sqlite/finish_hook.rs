//! The host's finish hook, in the transaction that finishes a batch, and what is stored when it
//! fails.
//!
//! ```text
//!   close ──▶ BEGIN ─ batch finished ─ hook rows ─ finish hook ─ COMMIT
//!                                                      │
//!                                  an error, a panic ──┴──▶ ROLLBACK ─▶ BEGIN ─ tries + 1 ─ COMMIT
//! ```

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    columns::now,
    error::{Result, message_of_host},
};
use crate::{
    domain::{Backoff, BatchFinished, BatchId, panic_message},
    ledger::{
        columns::millis,
        decide::hook_retry,
        error::{BoxError, LedgerError},
        types::{HookRetry, Rules},
    },
};

const TRIES: &str = "SELECT close_tries FROM rocket_batch_batches WHERE id = ?1 AND round = ?2 AND finished_at IS NULL";
const DELAY_CLOSE: &str = include_str!("sql/delay_close.sql");

/// Called in the transaction that finishes a batch. Its error keeps the batch from finishing.
pub trait FinishHook: Send + Sync + 'static {
    /// Writes the host's rows for the end of a batch.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    fn finish(&self, transaction: &Connection, end: &BatchFinished) -> std::result::Result<(), BoxError>;
}

impl<F> FinishHook for F
where
    F: Fn(&Connection, &BatchFinished) -> std::result::Result<(), BoxError> + Send + Sync + 'static,
{
    fn finish(&self, transaction: &Connection, end: &BatchFinished) -> std::result::Result<(), BoxError> {
        self(transaction, end)
    }
}

/// What finishes batches: the rules of the ledger, and the host's hook.
#[derive(Clone)]
pub(super) struct Finisher {
    pub rules: Rules,
    /// The hook, and the delays between calls that fail.
    pub hook: Option<(Arc<dyn FinishHook>, Backoff)>,
}

impl Finisher {
    /// The longest delay before the hook is called again. A later time was caused by a wrong clock.
    pub(super) fn max_delay(&self) -> Duration {
        self.backoff().max
    }

    fn backoff(&self) -> Backoff {
        let none = Backoff { first: Duration::ZERO, max: Duration::ZERO };
        self.hook.as_ref().map_or(none, |(_, backoff)| *backoff)
    }

    /// Calls the hook, if there is one.
    pub(super) fn call_hook(&self, conn: &Connection, end: &BatchFinished) -> Result<()> {
        let Some((hook, _)) = &self.hook else { return Ok(()) };
        let why = match catch_unwind(AssertUnwindSafe(|| hook.finish(conn, end))) {
            Ok(Ok(())) if conn.is_autocommit() => "ended the shared transaction".into(),
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => message_of_host(&error),
            Err(panic) => format!("panicked: {}", panic_message(&*panic)),
        };
        Err(LedgerError::HookFailed { why }.into())
    }

    /// Stores that the hook failed, and when the batch may be closed again. `None` if the batch
    /// finished or has open jobs again.
    pub(super) fn delay_close(
        &self,
        conn: &Connection,
        id: BatchId,
        round: u32,
        why: String,
    ) -> Result<Option<HookRetry>> {
        let tries = conn.prepare_cached(TRIES)?.query_row((id.get(), round), |row| row.get(0)).optional()?;
        let Some(tries) = tries else { return Ok(None) };
        let retry = hook_retry(tries, self.backoff(), fastrand::f64(), why);
        let not_before = now().saturating_add(millis(retry.delay));
        let row = params![id.get(), retry.tries, not_before, retry.error];
        Ok((conn.prepare_cached(DELAY_CLOSE)?.execute(row)? > 0).then_some(retry))
    }
}
