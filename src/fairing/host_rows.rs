//! The host's code within the transactions of the ledger: item writers and finish hooks, one per
//! database.

use std::sync::Arc;

use crate::{config::Config, ledger::Rules, service::LateContext};

/// The item writer and the finish hook for one database.
pub(super) struct InTransaction<W: ?Sized, H: ?Sized> {
    pub item_writer: Option<Arc<W>>,
    pub finish_hook: Option<Arc<H>>,
}

impl<W: ?Sized, H: ?Sized> Default for InTransaction<W, H> {
    fn default() -> Self {
        Self { item_writer: None, finish_hook: None }
    }
}

/// The host's code for both databases. A host that is configured for either can have both.
#[derive(Default)]
pub(super) struct HostRows {
    #[cfg(feature = "sqlite")]
    pub sqlite: InTransaction<dyn crate::sqlite::ItemWriter, dyn crate::sqlite::FinishHook>,
    #[cfg(feature = "postgres")]
    pub postgres: InTransaction<dyn crate::postgres::ItemWriter, dyn crate::postgres::FinishHook>,
}

/// Code of the host, and the context that it is called with.
pub(super) struct WithContext<H: ?Sized> {
    pub host: Arc<H>,
    pub context: LateContext,
}

/// What a ledger is made of, beside its database.
pub(super) struct LedgerParts<'a> {
    pub rules: Rules,
    pub config: &'a Config,
    pub context: &'a LateContext,
}

impl LedgerParts<'_> {
    pub(super) fn with_context<H: ?Sized>(&self, host: &Arc<H>) -> Arc<WithContext<H>> {
        Arc::new(WithContext { host: host.clone(), context: self.context.clone() })
    }
}
