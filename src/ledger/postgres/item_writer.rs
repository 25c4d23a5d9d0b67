//! The host's own rows, in the transaction that inserts the items.

use std::sync::Arc;

use deadpool_postgres::Transaction as PooledTransaction;
use futures_util::future::BoxFuture;
use tokio_postgres::{Transaction, error::SqlState};

use super::{
    error::{Result as VerbResult, is_unavailable, message_of},
    read::batch_info,
    search_path::with_path_of_host,
};
use crate::domain::{BatchId, error_chain};
use crate::ledger::{
    batch_infos::BatchInfos,
    error::{BoxError, LedgerError, unavailable},
    operation,
    types::{BatchInfo, NewItemRow},
};

/// Writes the host's rows for `items`, which were just inserted into `batch`, in the same
/// transaction. Every error but that of an unavailable database rejects the chunk.
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes the rows.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
        batch: &'a BatchInfo,
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>>;
}

impl<F> ItemWriter for F
where
    F: for<'a> Fn(
            &'a Transaction<'_>,
            &'a [NewItemRow<'a>],
            &'a BatchInfo,
        ) -> BoxFuture<'a, std::result::Result<(), BoxError>>
        + Send
        + Sync
        + 'static,
{
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
        batch: &'a BatchInfo,
    ) -> BoxFuture<'a, std::result::Result<(), BoxError>> {
        self(transaction, items, batch)
    }
}

/// An item writer, and the facts about batches that it receives.
pub(super) struct Writer {
    host: Arc<dyn ItemWriter>,
    batches: BatchInfos,
    /// The ledger's schema.
    schema: Arc<str>,
}

impl Writer {
    pub(super) fn new(host: Arc<dyn ItemWriter>, schema: Arc<str>) -> Self {
        Self { host, batches: BatchInfos::default(), schema }
    }

    /// Calls the item writer with the host's search path, and classifies its error.
    pub(super) async fn write(
        &self,
        transaction: &PooledTransaction<'_>,
        id: BatchId,
        items: &[NewItemRow<'_>],
    ) -> VerbResult<()> {
        let batch = match self.batches.get(id) {
            Some(batch) => batch,
            None => self.batches.insert(batch_info(transaction, id).await?),
        };
        let writing = self.host.write(transaction, items, &batch);
        with_path_of_host(transaction, &self.schema, writing).await?.map_err(classified)?;
        // The commit of a failed transaction is a rollback, which the server does not report as an
        // error.
        match transaction.simple_query("SELECT 1").await {
            Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => {
                Err(LedgerError::Rejected { why: UNUSABLE.into() }.into())
            }
            checked => Ok(checked.map(drop)?),
        }
    }
}

const UNUSABLE: &str = "a statement of the item writer failed, but the writer returned no error";

/// Classifies an error of the host. An unavailable database would affect the ledger too; any other
/// error rejects the rows.
fn classified(error: BoxError) -> LedgerError {
    match error.downcast_ref::<tokio_postgres::Error>() {
        Some(cause) if is_unavailable(cause) => unavailable(operation::INSERT_CHUNK, error),
        Some(cause) => LedgerError::Rejected { why: message_of(cause) },
        None => LedgerError::Rejected { why: error_chain(&*error) },
    }
}
