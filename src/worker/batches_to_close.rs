//! Finds batches to close, whose last job finished, and offers their closing to the queue. Every
//! finished job is followed by a search, but one search may follow many jobs.
//!
//! A search after each job would cost a large part of the job itself. Searches therefore keep an
//! interval, and each one covers all batches with jobs that finished since the one before. The last
//! search always comes after the last job. When two processes finish the last two jobs of a batch
//! at the same time, each of them searches afterwards, and at least one finds the batch. When a
//! process dies before its search, the feeder finds the batch.

use std::time::Duration;

use super::context::Context;

/// The interval between two searches.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);

/// Searches until the drain starts. A batch whose last job finishes later is found by the feeder of
/// another process, or of the next start.
pub(super) async fn offer_batches_to_close(cx: &Context) {
    while let Some(batches) = cx.draining.run_until_cancelled(cx.finished_jobs.take()).await {
        match cx.retry_until_drain(|| cx.ledger.batches_to_close(&batches)).await {
            None => {}
            Some(Ok(tasks)) => cx.offer_status(tasks).await,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not find batches to close; the feeder will");
            }
        }
        cx.sleep_unless_draining(SEARCH_INTERVAL).await;
    }
}
