//! The host's own rows, in the transaction that inserts the items.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::{
    error::{Result as VerbResult, message_of_host},
    read::batch_info,
};
use crate::domain::BatchId;
use crate::ledger::{
    batch_infos::BatchInfos,
    error::{BoxError, LedgerError, failed, unavailable},
    operation,
    types::{BatchInfo, NewItemRow},
};

/// Writes the host's rows for `items`, which were just inserted into `batch`, in the same
/// transaction. Every error but a failing disk rejects the chunk.
pub trait ItemWriter: Send + Sync + 'static {
    /// Writes the rows.
    ///
    /// # Errors
    ///
    /// Any error of the host.
    fn write(
        &self,
        transaction: &Connection,
        items: &[NewItemRow<'_>],
        batch: &BatchInfo,
    ) -> std::result::Result<(), BoxError>;
}

impl<F> ItemWriter for F
where
    F: Fn(&Connection, &[NewItemRow<'_>], &BatchInfo) -> std::result::Result<(), BoxError> + Send + Sync + 'static,
{
    fn write(
        &self,
        transaction: &Connection,
        items: &[NewItemRow<'_>],
        batch: &BatchInfo,
    ) -> std::result::Result<(), BoxError> {
        self(transaction, items, batch)
    }
}

/// An item writer, and the facts about batches that it receives.
pub(super) struct Writer {
    host: Arc<dyn ItemWriter>,
    batches: BatchInfos,
}

impl Writer {
    pub(super) fn new(host: Arc<dyn ItemWriter>) -> Self {
        Self { host, batches: BatchInfos::default() }
    }

    /// Calls the item writer, and checks that the transaction was not ended.
    pub(super) fn write(&self, conn: &Connection, id: BatchId, items: &[NewItemRow<'_>]) -> VerbResult<()> {
        let batch = match self.batches.get(id) {
            Some(batch) => batch,
            None => self.batches.insert(batch_info(conn, id)?),
        };
        self.host.write(conn, items, &batch).map_err(classified)?;
        if conn.is_autocommit() {
            return Err(failed(OPERATION, "the item writer ended the shared transaction").into());
        }
        Ok(())
    }
}

const OPERATION: &str = operation::INSERT_CHUNK;

/// Classifies an error of the host. A disk error would affect the ledger too; any other error
/// rejects the rows.
fn classified(error: BoxError) -> LedgerError {
    use ErrorCode as Code;
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(Code::DiskFull | Code::SystemIoFailure | Code::OutOfMemory) => unavailable(OPERATION, error),
        _ => LedgerError::Rejected { why: message_of_host(&error) },
    }
}
