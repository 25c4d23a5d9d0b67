//! The host's finish hook, in the transaction that finishes a batch, and what is stored when it
//! fails.
//!
//! ```text
//!   close ──▶ BEGIN ─ batch finished ─ hook rows ─ finish hook ─ COMMIT
//!                                                      │
//!                   an error, a panic, a time-out ─────┴──▶ ROLLBACK ─▶ BEGIN ─ tries + 1 ─ COMMIT
//! ```

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use deadpool_postgres::{Client, GenericClient as _, Transaction};
use rocket::futures::{FutureExt, future::BoxFuture};
use tokio_postgres::{Transaction as HostTransaction, error::SqlState};

use super::{
    columns::{small, text},
    error::{Result, VerbError, message_of},
    pool::Verb,
    search_path::with_path_of_host,
};
use crate::{
    domain::{Backoff, BatchFinished, BatchId, error_chain, panic_message},
    ledger::{
        columns::{Columns as _, millis},
        decide::hook_retry,
        error::{BoxError, LedgerError},
        operation,
        types::{HookRetry, Rules},
    },
};

// Locked as in close.rs. The next statement then sees jobs that a retry reopened meanwhile.
const LOCK: &str =
    "SELECT close_tries FROM batches WHERE id = $1 AND round = $2 AND finished_at IS NULL FOR NO KEY UPDATE";
const DELAY_CLOSE: &str = include_str!("sql/delay_close.sql");

/// Called in the transaction that finishes a batch. Its error keeps the batch from finishing.
pub trait FinishHook: Send + Sync + 'static {
    /// Writes the host's rows for the end of a batch.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    fn finish<'a>(
        &'a self,
        transaction: &'a HostTransaction<'_>,
        end: &'a BatchFinished,
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>>;
}

impl<F> FinishHook for F
where
    F: for<'a> Fn(&'a HostTransaction<'_>, &'a BatchFinished) -> BoxFuture<'a, std::result::Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    fn finish<'a>(
        &'a self,
        transaction: &'a HostTransaction<'_>,
        end: &'a BatchFinished,
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>> {
        self(transaction, end)
    }
}

/// The host's hook, and what bounds its calls.
#[derive(Clone)]
pub(super) struct BoundedHook {
    pub hook: Arc<dyn FinishHook>,
    /// The delays between calls that fail.
    pub backoff: Backoff,
    /// How long a call may take.
    pub timeout: Duration,
    /// The ledger's schema.
    pub schema: Arc<str>,
}

/// What finishes batches: the rules of the ledger, and the host's hook.
#[derive(Clone)]
pub(super) struct Finisher {
    pub rules: Rules,
    pub hook: Option<BoundedHook>,
}

impl Finisher {
    /// The longest delay before the hook is called again. A later time was caused by a wrong clock.
    pub(super) fn max_delay(&self) -> Duration {
        self.backoff().max
    }

    fn backoff(&self) -> Backoff {
        let none = Backoff { first: Duration::ZERO, max: Duration::ZERO };
        self.hook.as_ref().map_or(none, |bounded| bounded.backoff)
    }

    /// How long the host's hook may take.
    pub(super) fn host_time(&self) -> Option<Duration> {
        self.hook.as_ref().map(|bounded| bounded.timeout)
    }

    /// Calls the hook, if there is one.
    pub(super) async fn call_hook(&self, transaction: &Transaction<'_>, end: &BatchFinished) -> Result<()> {
        let Some(BoundedHook { hook, timeout, schema, .. }) = &self.hook else { return Ok(()) };
        // Within the future, so that a panic before its first await is caught too.
        let call = async { with_path_of_host(transaction, schema, hook.finish(transaction, end)).await };
        let call = AssertUnwindSafe(call).catch_unwind();
        match tokio::time::timeout(*timeout, call).await {
            Ok(Ok(Ok(Ok(())))) => check_is_usable(transaction).await,
            Ok(Ok(Ok(Err(error)))) => Err(hook_failed(message_of_host(&error))),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(panic)) => Err(hook_failed(format!("panicked: {}", panic_message(&*panic)))),
            Err(_) => Err(hook_failed(format!("did not return within {timeout:?}"))),
        }
    }

    /// Commits `transaction`, unless `result` is an error.
    ///
    /// After a failed hook, waits for the rollback: the hook may have left a statement that still
    /// runs. If the connection broke, the server rolls back.
    pub(super) async fn end<T>(&self, transaction: Transaction<'_>, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => match transaction.commit().await {
                Ok(()) => Ok(value),
                // A deferred constraint of the host.
                Err(error) if self.hook.is_some() && VerbError::rejects_rows(&error) => {
                    Err(hook_failed(message_of(&error)))
                }
                Err(error) => Err(error.into()),
            },
            Err(error @ VerbError::Verb(LedgerError::HookFailed { .. })) => {
                let _ = transaction.rollback().await;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// Checks that no statement of the hook failed. The commit of a failed transaction is a rollback,
/// which the server does not report as an error.
async fn check_is_usable(transaction: &Transaction<'_>) -> Result<()> {
    match transaction.simple_query("SELECT 1").await {
        Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
            Err(hook_failed("a statement of it failed, but it returned no error".into()))
        }
        checked => Ok(checked.map(drop)?),
    }
}

fn hook_failed(why: String) -> VerbError {
    LedgerError::HookFailed { why }.into()
}

/// The message of the host's error; that of the server, if it is an error of the database.
fn message_of_host(error: &BoxError) -> String {
    error.downcast_ref::<tokio_postgres::Error>().map_or_else(|| error_chain(&**error), message_of)
}

/// Stores that the hook failed, and when the batch may be closed again. `None` if the batch
/// finished or has open jobs again.
pub(super) struct DelayClose {
    pub finisher: Finisher,
    pub batch: BatchId,
    pub round: u32,
    pub why: String,
}

impl Verb for DelayClose {
    type Output = Option<HookRetry>;
    const OPERATION: &'static str = operation::DELAY_CLOSE;

    async fn run(&self, conn: &mut Client) -> Result<Option<HookRetry>> {
        let (id, transaction) = (self.batch.get(), conn.transaction().await?);
        let lock = transaction.prepare_cached(LOCK).await?;
        let Some(row) = transaction.query_opt(&lock, &[&id, &small(self.round)]).await? else { return Ok(None) };
        let tries = row.small("close_tries")?;
        let retry = hook_retry(tries, self.finisher.backoff(), fastrand::f64(), text(&self.why).into_owned());
        let statement = transaction.prepare_cached(DELAY_CLOSE).await?;
        let (tries, delay) = (small(retry.tries), millis(retry.delay));
        let delayed = transaction.execute(&statement, &[&id, &tries, &delay, &retry.error]).await?;
        transaction.commit().await?;
        Ok((delayed > 0).then_some(retry))
    }
}
