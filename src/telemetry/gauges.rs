//! The gauges that are read, not counted.
//!
//! Those of the whole ledger are the same in every process, so take their maximum over processes,
//! not their sum.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use metrics::gauge;
use tokio::time::timeout;

use crate::{
    domain::{BatchStatus, WorkerRecord},
    ledger::{BatchPool, Ledger, TotalCounts},
    queue::Queue,
};

/// How long each read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Reads all gauges. Those that can't be read become NaN, which `max` over processes ignores: a
    /// process that lost its database must not report old counts.
    pub async fn read(&self) {
        self.set_process();
        let status = timeout(READ_TIMEOUT, self.status.counts()).await;
        let counts = status.ok().and_then(Result::ok).map(|counts| [counts.waiting, counts.active, counts.delayed]);
        set_jobs(&*self.status, counts);
        if self.status.is_shared() {
            set_reachable("redis", counts.is_some());
        }
        let totals = timeout(READ_TIMEOUT, self.ledger.totals()).await.ok().and_then(Result::ok);
        set_reachable("database", totals.is_some());
        set_jobs(&*self.generate, totals.as_ref().map(|totals| [totals.waiting, totals.active, totals.delayed]));
        set_ledger(totals.as_ref());
        let workers = timeout(READ_TIMEOUT, self.ledger.workers()).await.ok().and_then(Result::ok);
        gauge!("rocket_batch_workers").set(workers.map_or(f64::NAN, |workers| running_jobs(&workers)));
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

fn set_jobs(queue: &dyn Queue, counts: Option<[u64; 3]>) {
    for (at, state) in ["waiting", "active", "delayed"].into_iter().enumerate() {
        let count = counts.and_then(|counts| counts.get(at).copied()).map_or(f64::NAN, |count| count as f64);
        gauge!("rocket_batch_jobs", "queue" => queue.name().to_owned(), "state" => state).set(count);
    }
}

/// Whether this process reached the database or the server of the queues just now.
fn set_reachable(part: &'static str, is_reachable: bool) {
    gauge!("rocket_batch_reachable", "part" => part).set(f64::from(u8::from(is_reachable)));
}

/// The number of processes that run jobs.
fn running_jobs(workers: &[WorkerRecord]) -> f64 {
    workers.iter().filter(|worker| worker.role != "web" && !worker.standby).count() as f64
}

/// Sets the gauges of the whole ledger, to NaN without `totals`.
fn set_ledger(totals: Option<&TotalCounts>) {
    let value = |read: &dyn Fn(&TotalCounts) -> f64| totals.map_or(f64::NAN, read);
    for status in BatchStatus::ALL {
        let count =
            |totals: &TotalCounts| totals.batches.iter().find(|(found, _)| *found == status).map_or(0, |of| of.1);
        gauge!("rocket_batch_batches", "status" => status.as_str()).set(value(&|totals| count(totals) as f64));
    }
    let age = |at: DateTime<Utc>| (Utc::now() - at).to_std().unwrap_or_default().as_secs_f64();
    let oldest = value(&|totals| totals.oldest_open.map_or(0.0, age));
    gauge!("rocket_batch_oldest_open_batch_seconds").set(oldest);
    let last = value(&|totals| totals.last_item_at.map_or(f64::NAN, |at| at.timestamp_millis() as f64 / 1_000.0));
    gauge!("rocket_batch_last_item_timestamp_seconds").set(last);
    gauge!("rocket_batch_hooks_given_up").set(value(&|totals| totals.hooks_given_up as f64));
}
