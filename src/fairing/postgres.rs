//! The ledger in PostgreSQL, with the host's item writer and finish hook.

use std::sync::Arc;

use rocket::futures::{FutureExt as _, future::BoxFuture};
use tokio_postgres::Transaction;

use super::host_rows::{InTransaction, LedgerParts, WithContext};
use crate::{
    domain::BatchFinished,
    ledger::{
        BatchInfo, BoxError, Ledger, NewItemRow,
        postgres::{FinishHook, ItemWriter, PostgresLedger, PostgresPool},
    },
    postgres,
    service::ItemContext,
    worker::failpoints,
};

/// The ledger in `pool`, with the host's code.
pub(super) fn ledger(
    pool: PostgresPool,
    host: &InTransaction<dyn postgres::ItemWriter, dyn postgres::FinishHook>,
    parts: &LedgerParts<'_>,
) -> Arc<dyn Ledger> {
    let mut ledger = PostgresLedger::new(pool, parts.rules);
    if let Some(writer) = &host.item_writer {
        ledger = ledger.with_item_writer(parts.with_context(writer));
    }
    if let Some(hook) = &host.finish_hook {
        let (backoff, timeout) = (parts.config.status.backoff(), parts.config.hook_timeout);
        ledger = ledger.with_finish_hook(parts.with_context(hook), backoff, timeout);
    }
    Arc::new(ledger)
}

impl ItemWriter for WithContext<dyn postgres::ItemWriter> {
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
        batch: &'a BatchInfo,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            let context = self.context.get()?;
            self.host.write(transaction, items, &ItemContext::new(batch, &context)).await
        }
        .boxed()
    }
}

impl FinishHook for WithContext<dyn postgres::FinishHook> {
    fn finish<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        end: &'a BatchFinished,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            self.host.finish(transaction, end, &self.context.get()?).await?;
            failpoints::reach(failpoints::AFTER_FINISH_HOOK).await;
            Ok(())
        }
        .boxed()
    }
}
