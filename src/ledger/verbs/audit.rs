//! Who changed which batch, when, and how.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    domain::{AuditEntry, BatchId},
    ledger::{
        error::Result,
        query::{AuditFilter, PageRequest, Portion},
    },
};

/// Reads the audit and removes its old entries. The verbs that change batches insert the entries,
/// each in the transaction of its change. The database refuses to alter them.
#[async_trait]
pub trait AuditRecords: Send + Sync {
    /// Lists the entries of a batch by id, which is the key of a page. That is the order of the
    /// changes.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](crate::ledger::LedgerError::NoSuchBatch).
    async fn audit(&self, batch: BatchId, page: PageRequest) -> Result<Portion<AuditEntry>>;

    /// Lists the entries that match `filter` by id, which is the key of a page.
    ///
    /// A page looks at a bounded number of entries, and may have fewer rows than its limit although
    /// more follow: [`Portion::looked_to`].
    async fn audit_log(&self, filter: AuditFilter, page: PageRequest) -> Result<Portion<AuditEntry>>;

    /// Removes at most `max` entries that are at least `age` old, the oldest first. Returns their
    /// number.
    async fn prune_audit(&self, age: Duration, max: u64) -> Result<u64>;
}
