//! Puts the counting decorators around the ledger and the queues, and keeps the gauges.

use std::{sync::Arc, time::Duration};

use rocket::tokio;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "prometheus")]
use crate::telemetry::Exporter;
use crate::{
    ledger::{BatchPool, Ledger},
    queue::Queues,
    telemetry::{CountedLedger, CountedQueue, Gauges, Tasks, describe, start_at_zero},
    worker::Context,
};

/// Returns `ledger` with counted verbs.
pub(super) fn counted_ledger(ledger: Arc<dyn Ledger>, queues: &Queues) -> Arc<dyn Ledger> {
    Arc::new(CountedLedger::new(ledger, queues.generate.name()))
}

/// Returns `queues` with counted attempts.
pub(super) fn counted_queues(mut queues: Queues) -> Queues {
    queues.generate = Arc::new(CountedQueue::new(queues.generate, Tasks::Jobs));
    queues.status = Arc::new(CountedQueue::new(queues.status, Tasks::Status));
    queues
}

/// The metrics that a process keeps while it runs.
pub(super) struct ProcessMetrics {
    gauges: Arc<Gauges>,
    interval: Duration,
}

impl ProcessMetrics {
    pub fn new(cx: &Context, pool: &BatchPool) -> Self {
        let live = cx.live.clone();
        let gauges = Gauges {
            ledger: cx.ledger.clone(),
            pool: pool.clone(),
            generate: cx.generate.clone(),
            status: cx.status.clone(),
            event_streams: Box::new(move || live.watchers()),
        };
        Self { gauges: Arc::new(gauges), interval: cx.config.metrics_interval }
    }

    /// Describes the metrics to the recorder, and keeps the gauges until the drain starts.
    pub fn start(&self, draining: &CancellationToken) {
        let Gauges { generate, status, .. } = &*self.gauges;
        describe();
        start_at_zero([generate.name(), status.name()], generate.is_shared());
        if !self.interval.is_zero() {
            let (gauges, interval) = (self.gauges.clone(), self.interval);
            tokio::spawn(draining.clone().run_until_cancelled_owned(async move { gauges.keep(interval).await }));
        }
        #[cfg(feature = "prometheus")]
        if let Some(exporter) = Exporter::install() {
            tokio::spawn(draining.clone().run_until_cancelled_owned(exporter.upkeep()));
        }
    }
}
