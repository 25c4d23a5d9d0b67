//! Creates batches in transactions of the host.

use super::{accepted::BatchAccepted, error::Result, handle::BatchService};
use crate::domain::ItemOptions;

impl BatchService {
    /// Creates a batch in a transaction of the host, on any connection to the ledger's database.
    /// For a ledger in PostgreSQL.
    ///
    /// The batch exists once the transaction is committed. A rollback removes it completely. The id
    /// sequence is not rolled back, so an id may be skipped.
    ///
    /// The session is unchanged, whatever its search path is. Its role needs the privileges on the
    /// ledger's tables that the [guide](crate::guide::transactions) lists. Work on the batch starts
    /// within `feed_interval` of the commit. Call [`BatchService::wake_feeder`] after the commit to
    /// start at once.
    ///
    /// ```
    /// use rocket_batch::{BatchError, BatchService, postgres::tokio_postgres::Transaction};
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// async fn order(batches: &BatchService, transaction: Transaction<'_>, order: i64) -> Result<(), Error> {
    ///     transaction.execute("INSERT INTO shop.orders (id) VALUES ($1)", &[&order]).await?;
    ///     batches.create_product_items_in(&transaction, order, 5_000, batches.default_options()).await?;
    ///     transaction.commit().await?;
    ///     batches.wake_feeder();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Not cancel safe: if you drop the future before it is ready, roll the transaction back.
    ///
    /// # Errors
    ///
    /// As [`BatchService::create_product_items_async`], and
    /// [`BatchError::WrongDatabaseKind`](super::BatchError::WrongDatabaseKind) when the ledger is
    /// in SQLite. After `Invalid`, `IdInUse` and `WrongDatabaseKind` the transaction is still
    /// usable and unchanged. After any other error, roll it back.
    pub async fn create_product_items_in(
        &self,
        transaction: &tokio_postgres::Transaction<'_>,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> Result<BatchAccepted> {
        let host_transactions = self.parts().host_transactions.as_ref().map_err(|other| *other)?;
        let batch = self.new_batch(batch_id.into(), quantity, options).await?;
        let created = self.bounded(host_transactions.create(transaction, batch)).await?;
        tracing::debug!(batch = %created.batch, quantity, "batch created in a transaction of the host");
        Ok(BatchAccepted::of(created))
    }
}
