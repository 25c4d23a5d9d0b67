//! Creates batches in transactions of the host.

#[cfg(feature = "postgres")]
use rocket::futures::future::BoxFuture;
#[cfg(feature = "sqlite")]
use rusqlite::Connection;

#[cfg(feature = "sqlite")]
use super::handle::logged;
use super::{accepted::BatchAccepted, error::Result, handle::BatchService};
use crate::domain::ItemOptions;
#[cfg(feature = "sqlite")]
use crate::ledger::{NewBatch, WrongDatabaseKind};

impl BatchService {
    /// Creates a batch in a transaction of the host, on any connection to the ledger's database.
    ///
    /// The batch and its jobs exist once the transaction is committed. A rollback removes them
    /// completely, except that a number of PostgreSQL's id sequence may stay used. Work on the
    /// batch starts within `feed_interval` of the commit. Call [`BatchService::wake_feeder`] after
    /// the commit to start at once.
    ///
    /// What it returns depends on the database, see [`HostTransaction`].
    ///
    /// **PostgreSQL**: pass `&transaction`. Returns a future, which is not cancel safe: if it is
    /// dropped, roll back. The session is unchanged, whatever its search path is. Its role needs
    /// the privileges on the ledger's tables that the [guide](crate::guide::transactions) lists.
    ///
    #[cfg_attr(feature = "postgres", doc = "```")]
    #[cfg_attr(not(feature = "postgres"), doc = "```ignore")]
    /// use rocket_batch::{BatchService, Result, postgres::tokio_postgres::Transaction};
    ///
    /// async fn order(id: i64, tx: Transaction<'_>, batches: BatchService) -> Result<()> {
    ///     tx.execute("INSERT INTO shop.orders (id) VALUES ($1)", &[&id]).await?;
    ///     batches.create_product_items_in(&tx, id, 500, batches.default_options()).await?;
    ///     tx.commit().await?;
    ///     batches.wake_feeder();
    ///     Ok(())
    /// }
    /// ```
    ///
    /// **SQLite**: pass the connection that is in the transaction, or the transaction. Returns at
    /// once, without a future, since it is called in a closure that can't wait. Outside of a
    /// transaction it uses one of its own. The ledger's file must be the main database of the
    /// connection, not an attached one.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// use rocket_batch::{BatchDb, BatchError, BatchService};
    /// use rocket_db_pools::Connection;
    ///
    /// type Db = Connection<BatchDb>;
    ///
    /// async fn order(id: i64, db: Db, batches: BatchService) -> Result<(), BatchError> {
    ///     let service = batches.clone();
    ///     let ordering = db.sqlite()?.interact_mut(move |tx| {
    ///         tx.execute("INSERT INTO orders (id) VALUES (?1)", [id])?;
    ///         service.create_product_items_in(tx, id, 500, service.default_options())
    ///     });
    ///     ordering.await?;
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
    /// in another kind of database or in another SQLite file. After `Invalid` and `IdInUse` the
    /// transaction is still usable and unchanged. After any other error of PostgreSQL it can only
    /// be rolled back. In SQLite the transaction can always continue, unless SQLite itself rolled
    /// it back, for example because the disk is full.
    pub fn create_product_items_in<'a, T: HostTransaction<'a>>(
        &'a self,
        transaction: T,
        batch_id: impl Into<Option<i64>>,
        quantity: u64,
        options: ItemOptions,
    ) -> T::Created {
        transaction.create(Asked { batches: self, batch_id: batch_id.into(), quantity, options })
    }
}

/// A transaction of the host in which
/// [`create_product_items_in`](BatchService::create_product_items_in) creates a batch.
///
/// - PostgreSQL: `&Transaction` of `tokio_postgres` or of `deadpool_postgres`. Returns a future of
///   `Result<BatchAccepted, BatchError>`.
/// - SQLite: `&Connection`, `&mut Connection`, `&Transaction` or `&Savepoint` of `rusqlite`.
///   Returns `Result<BatchAccepted, BatchError>`.
///
/// For another type that dereferences to one of these, write `&*transaction`. No other crate can
/// implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction in which a batch can be created",
    note = "pass `&transaction` of `tokio_postgres`, or the connection or `&transaction` of `rusqlite`, in the \
            versions that `rocket_batch` re-exports"
)]
pub trait HostTransaction<'a>: sealed::Sealed {
    /// The result, or a future of it.
    type Created;

    /// Creates the batch.
    #[doc(hidden)]
    fn create(self, asked: Asked<'a>) -> Self::Created;
}

/// A batch that a host asks for in its transaction.
#[allow(unnameable_types, reason = "it seals a trait")]
pub struct Asked<'a> {
    batches: &'a BatchService,
    batch_id: Option<i64>,
    quantity: u64,
    options: ItemOptions,
}

mod sealed {
    #[allow(unnameable_types, reason = "it seals a trait")]
    pub trait Sealed {}
}

#[cfg(feature = "postgres")]
macro_rules! in_postgres {
    ($($transaction:ty),+) => { $(
        impl sealed::Sealed for &$transaction {}

        impl<'a> HostTransaction<'a> for &'a $transaction {
            type Created = BoxFuture<'a, Result<BatchAccepted>>;

            fn create(self, asked: Asked<'a>) -> Self::Created {
                Box::pin(asked.create_in_postgres(self))
            }
        }
    )+ };
}

#[cfg(feature = "postgres")]
in_postgres!(tokio_postgres::Transaction<'_>, deadpool_postgres::Transaction<'_>);

#[cfg(feature = "sqlite")]
macro_rules! in_sqlite {
    ($($transaction:ty),+) => { $(
        impl sealed::Sealed for $transaction {}

        impl<'a> HostTransaction<'a> for $transaction {
            type Created = Result<BatchAccepted>;

            fn create(self, asked: Asked<'a>) -> Self::Created {
                logged(asked.create_in_sqlite(self))
            }
        }
    )+ };
}

#[cfg(feature = "sqlite")]
in_sqlite!(&Connection, &mut Connection, &rusqlite::Transaction<'_>, &rusqlite::Savepoint<'_>);

impl Asked<'_> {
    #[cfg(feature = "postgres")]
    async fn create_in_postgres(self, transaction: &tokio_postgres::Transaction<'_>) -> Result<BatchAccepted> {
        let Self { batches, batch_id, quantity, options } = self;
        let ledger = batches.parts().host_transactions.postgres()?;
        let batch = batches.new_batch(batch_id, quantity, options).await?;
        let created = batches.bounded(ledger.create(transaction, batch)).await?;
        tracing::debug!(batch = %created.batch, quantity, "batch created in a transaction of the host");
        Ok(BatchAccepted::of(created))
    }

    #[cfg(feature = "sqlite")]
    fn create_in_sqlite(self, conn: &Connection) -> Result<BatchAccepted> {
        let Self { batches, batch_id, quantity, options } = self;
        let ledger = batches.parts().host_transactions.sqlite()?;
        let batch = batches.planned(batch_id, quantity, options)?;
        let ledger = ledger.on(conn)?.ok_or(WrongDatabaseKind::OTHER_FILE)?;
        let (estimator, throughput) = (&batches.parts().estimator, batches.throughput());
        let estimated = estimator.try_estimate(&batch.plan, &throughput, |limit| ledger.backlog(limit))?;
        let created = ledger.create(&NewBatch { estimated, ..batch })?;
        tracing::debug!(batch = %created.batch, quantity, "batch created in a transaction of the host");
        Ok(BatchAccepted::of(created))
    }
}
