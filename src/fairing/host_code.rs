//! The builder's methods for the host's own tables, state and transactional hooks.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use std::sync::Arc;

use rocket::futures::FutureExt as _;

use super::{builder::BatchFairing, setup::StateCopy};
use crate::ledger::{BatchConnection, BoxError};

impl BatchFairing {
    /// Calls `prepare` in each launch, after the ledger's tables are there and before anything
    /// works, for your own tables and their migrations. Its error stops the launch.
    ///
    /// Several closures run in the order of the calls, each with its own connection. On PostgreSQL
    /// they run under an advisory lock: of several processes that start at once, each runs them
    /// after the other. On SQLite, do each migration in one `interact_mut`, which locks the file.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use rocket_batch::{Batch, BatchConnection, BoxError};
    ///
    /// const ORDERS: &str = "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, state TEXT NOT NULL)";
    ///
    /// async fn create_tables(db: BatchConnection) -> Result<(), BoxError> {
    ///     Ok(db.sqlite()?.interact_mut(|transaction| transaction.execute_batch(ORDERS)).await?)
    /// }
    ///
    /// let fairing = Batch::fairing().public().on_ledger_ready(create_tables);
    /// # }
    /// ```
    pub fn on_ledger_ready<F, Fut, E>(mut self, prepare: F) -> Self
    where
        F: Fn(BatchConnection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.ledger_ready.push(Box::new(move |db| prepare(db).map(|result| result.map_err(Into::into)).boxed()));
        self
    }

    /// Makes state of the Rocket instance available to hooks and item writers, as
    /// [`HookContext::state`](crate::HookContext::state). It is cloned at liftoff, so `T` is
    /// usually an `Arc` or a pool. Call it once for each type.
    ///
    /// If the Rocket instance does not manage a `T` at liftoff, an error is logged, no worker
    /// starts, and Rocket shuts down.
    pub fn with_state<T: Clone + Send + Sync + 'static>(mut self) -> Self {
        self.states.push(StateCopy::of::<T>());
        self
    }

    /// Calls `hook` in the transaction that finishes a batch, so that your own rows and the status
    /// of the batch are one commit, exactly once. Its error keeps the batch from finishing.
    ///
    /// For a ledger in SQLite. [`sqlite::FinishHook`](crate::sqlite::FinishHook) describes what a
    /// hook may do, and the effect of its errors and panics.
    ///
    /// ```
    /// use rocket_batch::{
    ///     Batch, BatchFinished, BoxError, HookContext,
    ///     sqlite::rusqlite::Connection,
    /// };
    ///
    /// fn mark_order(transaction: &Connection, end: &BatchFinished, _: &HookContext) -> Result<(), BoxError> {
    ///     let sql = "UPDATE orders SET state = ?2 WHERE id = ?1";
    ///     transaction.execute(sql, (end.batch_id.get(), end.status.as_str()))?;
    ///     Ok(())
    /// }
    ///
    /// let fairing = Batch::fairing().public().sqlite_finish_hook(mark_order);
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn sqlite_finish_hook(mut self, hook: impl crate::sqlite::FinishHook) -> Self {
        self.host_rows.sqlite.finish_hook = Some(Arc::new(hook));
        self
    }

    /// Calls `hook` in the transaction that finishes a batch, so that your own rows and the status
    /// of the batch are one commit, exactly once. Its error keeps the batch from finishing.
    ///
    /// For a ledger in PostgreSQL. [`postgres::FinishHook`](crate::postgres::FinishHook) describes
    /// what a hook may do, and the effect of its errors and panics.
    ///
    /// ```
    /// use rocket::futures::{FutureExt, future::BoxFuture};
    /// use rocket_batch::{Batch, BatchFinished, BoxError, HookContext, postgres::tokio_postgres::Transaction};
    ///
    /// fn mark_order<'a>(
    ///     transaction: &'a Transaction<'_>,
    ///     end: &'a BatchFinished,
    ///     _: &'a HookContext,
    /// ) -> BoxFuture<'a, Result<(), BoxError>> {
    ///     async move {
    ///         let sql = "UPDATE shop.orders SET state = $2 WHERE id = $1";
    ///         transaction.execute(sql, &[&end.batch_id.get(), &end.status.as_str()]).await?;
    ///         Ok(())
    ///     }
    ///     .boxed()
    /// }
    ///
    /// let fairing = Batch::fairing().public().postgres_finish_hook(mark_order);
    /// ```
    #[cfg(feature = "postgres")]
    pub fn postgres_finish_hook(mut self, hook: impl crate::postgres::FinishHook) -> Self {
        self.host_rows.postgres.finish_hook = Some(Arc::new(hook));
        self
    }
}
