//! A recorder for hosts without one, whose metrics a route serves in the text format of Prometheus.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// The buckets of durations, in seconds: 1 ms to 10 min.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0];

/// The buckets of chunks, which are single transactions.
const CHUNK_BUCKETS: [f64; 14] =
    [0.00025, 0.0005, 0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];

/// The recorder that this crate installed in the process, if it did.
static INSTALLED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// The metrics of this process, for a scrape. All Rockets of a process share them.
#[derive(Clone)]
pub(crate) struct Exporter(PrometheusHandle);

impl Exporter {
    /// How often recorded durations are moved into their buckets, so that they take no memory while
    /// nobody scrapes.
    const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

    /// Installs the recorder of the process, unless that was done before. Returns `None` if the
    /// host has installed one: its metrics are read there.
    pub fn install() -> Option<Self> {
        let install = || {
            let installed = try_install();
            if installed.is_none() {
                tracing::info!("the host has its own recorder of metrics, so `metrics` is not served");
            }
            installed
        };
        INSTALLED.get_or_init(install).clone().map(Self)
    }

    /// Returns all metrics as text.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Keeps the recorder small, without end.
    pub async fn upkeep(self) {
        loop {
            tokio::time::sleep(Self::UPKEEP_INTERVAL).await;
            self.0.run_upkeep();
        }
    }
}

fn try_install() -> Option<PrometheusHandle> {
    let recorder = builder().map(PrometheusBuilder::build_recorder).ok()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok().map(|()| handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("rocket_batch_chunk_duration_seconds".into()), &CHUNK_BUCKETS)?
        .set_buckets_for_metric(Matcher::Prefix("rocket_batch_".into()), &BUCKETS)
}
