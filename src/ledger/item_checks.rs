//! The verbs that compare the items of a batch with its plan, and write missing ones again.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::error::Result;
use crate::domain::{BatchId, Caller, ItemPage, RepairReport, Tally};

/// A check that is kept in the ledger, so that any process can continue it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheck {
    /// The batch.
    pub batch: BatchId,
    /// Whether the codes are checked.
    pub codes: bool,
    /// The number of the check, among those of the batch with the same `codes`.
    pub run: u32,
    /// The result so far.
    pub tally: Tally,
    /// When the check started.
    pub started_at: DateTime<Utc>,
    /// When the check finished.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A portion of the jobs of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobGaps {
    /// The numbers of the completed jobs with missing items.
    pub seqs: Vec<u64>,
    /// The first job of the next portion; `None` after the last one.
    pub next: Option<u64>,
}

/// Compares the items of batches with their plans. Reads the items themselves, never a count.
#[async_trait]
pub trait ItemChecks: Send + Sync {
    /// Reads the items from the ordinal `from`, at most [`PAGE_ITEMS`](crate::domain::PAGE_ITEMS),
    /// and the jobs of the same ordinals, from one snapshot.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch).
    async fn item_page(&self, batch: BatchId, from: u64, codes: bool) -> Result<ItemPage>;

    /// Returns the running check of the batch, or the finished one unless it is older than
    /// `max_age`. Otherwise stores a new one, for a status task.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch).
    async fn start_check(&self, batch: BatchId, codes: bool, max_age: Duration) -> Result<StoredCheck>;

    /// Returns the latest check of the batch.
    async fn stored_check(&self, batch: BatchId, codes: bool) -> Result<Option<StoredCheck>>;

    /// Stores the tally of a running check that was at `from` before. Returns false if another
    /// process continued the check, or it was replaced; nothing is stored then.
    async fn store_check(&self, check: &StoredCheck, from: u64) -> Result<bool>;

    /// Finds completed jobs with missing items, in one portion of the jobs from number `from`.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch).
    async fn jobs_with_gaps(&self, batch: BatchId, from: u64) -> Result<JobGaps>;

    /// Recreates those of the completed jobs `seqs` that miss items, as a new generation with fresh
    /// attempts, and opens the batch again. Counts their items in the same transaction, so of two
    /// concurrent repairs each job is recreated by one. Job rows that were removed after
    /// `keep_history` are made again from the plan. Writes the entry of the audit.
    ///
    /// # Errors
    ///
    /// [`LedgerError::NoSuchBatch`](super::LedgerError::NoSuchBatch),
    /// [`LedgerError::NotAllowed`](super::LedgerError::NotAllowed) for a cancelled batch, and
    /// [`LedgerError::HistoryRemoved`](super::LedgerError::HistoryRemoved) for a failed batch whose
    /// jobs were pruned.
    async fn repair(&self, batch: BatchId, seqs: Vec<u64>, caller: &Caller) -> Result<RepairReport>;
}
