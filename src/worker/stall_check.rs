//! Logs open batches that should advance, but do not.

use std::collections::HashSet;

use chrono::Utc;

use super::context::Context;
use crate::{
    domain::{BatchId, BatchRecord, Observation, Progress},
    ledger::ChangeQuery,
    queue::QueueCondition,
    telemetry::events,
};

/// Checks the open batches every `feed_interval`, and logs each one that stalls, until the drain
/// starts. A batch is logged again only after a check found it not stalled.
pub(super) async fn log_stalls(cx: &Context) {
    let mut logged = HashSet::new();
    loop {
        cx.sleep_unless_draining(cx.config.feed_interval).await;
        if cx.draining.is_cancelled() {
            return;
        }
        let stalled = stalled_batches(cx).await;
        events::stalled_batches(stalled.as_ref().map_or(0, Vec::len));
        if let Some(stalled) = stalled {
            for batch in stalled.iter().filter(|batch| !logged.contains(&batch.batch_id)) {
                let (id, items, quantity) = (batch.batch_id, batch.items_created, batch.quantity);
                let last_item_at = batch.activity.last_item_at.map(|at| at.to_rfc3339());
                tracing::warn!(
                    batch = %id, items, quantity, last_item_at,
                    "batch stalled: it has open jobs, but no new items",
                );
            }
            logged = stalled.iter().map(|batch| batch.batch_id).collect::<HashSet<BatchId>>();
        }
    }
}

/// The batches that are stalled, or `None` if this can't be known: the database or the queue does
/// not respond, or no job can start.
async fn stalled_batches(cx: &Context) -> Option<Vec<BatchRecord>> {
    let query = ChangeQuery { includes_open: true, ..ChangeQuery::default() };
    let open = cx.ledger.changes(query).await.ok()?;
    if cx.outage.is_on() || cx.generate.condition().await != QueueCondition::Open {
        return None;
    }
    let throughput = cx.config.generate.throughput();
    let chunk_size = cx.config.chunk_size;
    let observed = Observation { throughput: &throughput, chunk_size, now: Utc::now(), waiting_for: None };
    let records = open.into_iter().map(|change| change.record);
    Some(records.filter(|batch| Progress::of(batch, &observed).stalled).collect())
}
