//! The gauges that are read, not counted.
//!
//! Those of the whole ledger are the same in every process, so take their maximum over processes,
//! not their sum.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use metrics::gauge;

use crate::ledger::{BatchPool, Ledger, TotalCounts};
use crate::{domain::BatchStatus, queue::Queue};

/// What the gauges are read from.
pub(crate) struct Gauges {
    pub ledger: Arc<dyn Ledger>,
    pub pool: BatchPool,
    pub generate: Arc<dyn Queue>,
    pub status: Arc<dyn Queue>,
    /// Returns the number of open event streams of this process.
    pub event_streams: Box<dyn Fn() -> usize + Send + Sync>,
}

impl Gauges {
    /// Reads all gauges at once and then about every `interval`, without end. Dropped between two
    /// reads, it leaves nothing behind.
    pub async fn keep(&self, interval: Duration) {
        loop {
            self.read().await;
            tokio::time::sleep(interval.mul_f64(1.0 + 0.2 * fastrand::f64())).await;
        }
    }

    /// Reads all gauges. Those that can't be read keep their values.
    pub async fn read(&self) {
        self.set_process();
        if let Ok(counts) = self.status.counts().await {
            set_jobs(&*self.status, [counts.waiting, counts.active, counts.delayed]);
        }
        if let Ok(totals) = self.ledger.totals().await {
            set_jobs(&*self.generate, [totals.waiting, totals.active, totals.delayed]);
            set_ledger(&totals);
        }
    }

    /// Sets the gauges of this process.
    fn set_process(&self) {
        let usage = self.pool.usage();
        gauge!("rocket_batch_database_pool", "state" => "used").set(usage.used as f64);
        gauge!("rocket_batch_database_pool", "state" => "idle").set(usage.idle as f64);
        gauge!("rocket_batch_database_pool", "state" => "waiting").set(usage.waiting as f64);
        gauge!("rocket_batch_event_streams").set((self.event_streams)() as f64);
        let (version, ledger) = (env!("CARGO_PKG_VERSION"), self.pool.kind());
        let queue = if self.generate.is_shared() { "redis" } else { "local" };
        gauge!("rocket_batch_build_info", "version" => version, "ledger" => ledger, "queue" => queue).set(1.0);
    }
}

fn set_jobs(queue: &dyn Queue, counts: [u64; 3]) {
    for (state, count) in ["waiting", "active", "delayed"].into_iter().zip(counts) {
        gauge!("rocket_batch_jobs", "queue" => queue.name().to_owned(), "state" => state).set(count as f64);
    }
}

/// Sets the gauges of the whole ledger. The number of living workers belongs here too.
fn set_ledger(totals: &TotalCounts) {
    for status in BatchStatus::ALL {
        let count = totals.batches.iter().find(|(found, _)| *found == status).map_or(0, |(_, count)| *count);
        gauge!("rocket_batch_batches", "status" => status.as_str()).set(count as f64);
    }
    let age = totals.oldest_open.map(|at| (Utc::now() - at).to_std().unwrap_or_default());
    gauge!("rocket_batch_oldest_open_batch_seconds").set(age.unwrap_or_default());
    if let Some(at) = totals.last_item_at {
        gauge!("rocket_batch_last_item_timestamp_seconds").set(at.timestamp_millis() as f64 / 1_000.0);
    }
    gauge!("rocket_batch_hooks_given_up").set(totals.hooks_given_up as f64);
}
