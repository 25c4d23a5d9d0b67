//! The ledger in SQLite, with the host's item writer and finish hook.

use std::sync::Arc;

use rusqlite::Connection;

use super::host_rows::{InTransaction, LedgerParts, WithContext};
use crate::{
    domain::BatchFinished,
    ledger::{
        BatchInfo, BoxError, Ledger, NewItemRow,
        sqlite::{FinishHook, ItemWriter, SqliteLedger, SqlitePool},
    },
    service::ItemContext,
    sqlite,
    worker::failpoints,
};

/// The ledger in `pool`, with the host's code.
pub(super) fn ledger(
    pool: SqlitePool,
    host: &InTransaction<dyn sqlite::ItemWriter, dyn sqlite::FinishHook>,
    parts: &LedgerParts<'_>,
) -> Arc<dyn Ledger> {
    let mut ledger = SqliteLedger::new(pool, parts.rules);
    if let Some(writer) = &host.item_writer {
        ledger = ledger.with_item_writer(parts.with_context(writer));
    }
    if let Some(hook) = &host.finish_hook {
        ledger = ledger.with_finish_hook(parts.with_context(hook), parts.config.status.backoff());
    }
    Arc::new(ledger)
}

impl ItemWriter for WithContext<dyn sqlite::ItemWriter> {
    fn write(&self, transaction: &Connection, items: &[NewItemRow<'_>], batch: &BatchInfo) -> Result<(), BoxError> {
        let context = self.context.get()?;
        self.host.write(transaction, items, &ItemContext::new(batch, &context))
    }
}

impl FinishHook for WithContext<dyn sqlite::FinishHook> {
    fn finish(&self, transaction: &Connection, end: &BatchFinished) -> Result<(), BoxError> {
        self.host.finish(transaction, end, &self.context.get()?)?;
        failpoints::block(failpoints::AFTER_FINISH_HOOK);
        Ok(())
    }
}
