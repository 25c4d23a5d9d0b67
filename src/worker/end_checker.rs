//! Finds batches whose last job finished: every finished job is followed by a check, but one check
//! may follow many jobs.
//!
//! A check after each job would cost a large part of the job itself. Checks therefore keep an
//! interval, and each check covers all batches with jobs that finished since the check before. The
//! last check always comes after the last job. When two processes finish the last two jobs of a
//! batch at the same time, each of them checks afterwards, and at least one finds the batch. When a
//! process dies before its check, the feeder finds the batch.

use std::time::Duration;

use super::context::Context;

/// The interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Checks until the drain starts. A batch whose last job finishes later is found by the feeder of
/// another process, or of the next start.
pub(super) async fn check_ends(cx: &Context) {
    while let Some(batches) = cx.draining.run_until_cancelled(cx.finished_jobs.take()).await {
        match cx.retry_until_drain(|| cx.ledger.at_end(&batches)).await {
            None => {}
            Some(Ok(ends)) => cx.offer_status(ends).await,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not check for batches to close; the feeder will");
            }
        }
        cx.sleep_unless_draining(CHECK_INTERVAL).await;
    }
}
