//! What is in the whole ledger, as counts.

use async_trait::async_trait;

use crate::ledger::{error::Result, query::TotalCounts};

/// Counts the whole ledger.
#[async_trait]
#[cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]
pub trait Totals: Send + Sync {
    /// Counts batches, open jobs and hooks that were given up, for metrics.
    ///
    /// Reads indexes and the [summaries](super::Records::summarize) of at most
    /// [`MAX_COUNTED_BATCHES`](crate::ledger::query::MAX_COUNTED_BATCHES) started batches, and no
    /// job or item. Open jobs are those that were counted last.
    async fn totals(&self) -> Result<TotalCounts>;
}
