//! Counts the batches that are marked in [`Summaries`](super::summaries::Summaries).

use tokio::time::Instant;

use super::{context::Context, summaries::Remaining};
use crate::ledger::COUNT_INTERVAL;

/// The pause after a count, as a multiple of its duration: counts take at most a twentieth of the
/// time.
const PAUSE_PER_COUNT: u32 = 20;

/// Counts marked batches until the drain starts.
pub(super) async fn keep_summaries(cx: &Context) {
    while !cx.draining.is_cancelled() {
        cx.draining.run_until_cancelled(cx.summaries.wait_for_batch()).await;
        let started = Instant::now();
        count_once(cx).await;
        cx.sleep_unless_draining(COUNT_INTERVAL.max(started.elapsed() * PAUSE_PER_COUNT)).await;
    }
}

/// Counts the marked batches once more before the process exits.
///
/// Batches that another process counted less than [`COUNT_INTERVAL`] ago are skipped, so a second
/// round follows after that interval. A count made meanwhile by another process is just as good: it
/// includes this process's last change.
pub(super) async fn count_before_exit(cx: &Context) {
    if count_once(cx).await == Remaining::Marked {
        tokio::time::sleep(COUNT_INTERVAL).await;
        count_once(cx).await;
    }
}

async fn count_once(cx: &Context) -> Remaining {
    let ledger = &cx.ledger;
    let counting = cx.summaries.count_with(|process, work| ledger.summarize(process, work)).await;
    counting.unwrap_or_else(|error| {
        tracing::debug!(error = &error as &dyn std::error::Error, "batches could not be counted");
        Remaining::Marked
    })
}
