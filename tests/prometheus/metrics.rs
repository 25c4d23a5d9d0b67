//! The table of metrics, with their labels and the values that a label may have.

/// One metric, without the prefix `rocket_batch_`.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [Label],
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

pub struct Label {
    pub name: &'static str,
    pub values: &'static [&'static str],
    /// Whether there are other values than these, such as the next version.
    pub is_open: bool,
}

const QUEUE: Label = open("queue", &["generate-product-batch-items", "update-batch-status"]);

pub const METRICS: [Metric; 23] = [
    counter("items_total", &[]),
    counter("jobs_total", &[QUEUE, closed("outcome", &["completed", "failed", "retried", "released", "cancelled"])]),
    histogram("job_duration_seconds", &[QUEUE]),
    histogram("job_wait_seconds", &[QUEUE]),
    histogram("chunk_duration_seconds", &[]),
    counter("chunk_retries_total", &[]),
    counter("failed_chunks_total", &[]),
    counter("fenced_writes_total", &[]),
    counter("crashes_total", &[]),
    gauge("jobs", &[QUEUE, closed("state", &["waiting", "active", "delayed"])]),
    gauge("batches", &[closed("status", &["pending", "running", "paused", "completed", "failed", "cancelled"])]),
    gauge("oldest_open_batch_seconds", &[]),
    gauge("last_item_timestamp_seconds", &[]),
    gauge("stalled_batches", &[]),
    counter(
        "hooks_total",
        &[
            open("kind", &["batch_finished", "job_failed", "job_completed"]),
            closed("outcome", &["delivered", "failed", "given_up"]),
        ],
    ),
    gauge("hooks_given_up", &[]),
    counter("feeder_repairs_total", &[]),
    counter("reconnects_total", &[PART]),
    gauge("reachable", &[PART]),
    gauge("database_pool", &[closed("state", &["used", "idle", "waiting"])]),
    gauge("event_streams", &[]),
    gauge(
        "build_info",
        &[open("version", &["0.1.0"]), closed("ledger", &["sqlite", "postgres"]), closed("queue", &["local", "redis"])],
    ),
    gauge("workers", &[]),
];

const PART: Label = closed("part", &["database", "redis"]);

impl Metric {
    /// Returns the names of its series. A histogram has three.
    pub fn series(&self) -> Vec<String> {
        let suffixes: &[_] = if self.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(|suffix| format!("rocket_batch_{}{suffix}", self.name)).collect()
    }

    /// Finds the metric that a series belongs to.
    pub fn of(series: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.series().iter().any(|name| name == series))
    }

    pub fn label(&self, name: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.name == name)
    }

    /// Returns every combination of the values of its labels, as `a="1",b="2",`.
    pub fn combinations(&self) -> Vec<String> {
        self.labels.iter().fold(vec![String::new()], |combinations, label| {
            let with = |start: &String| {
                let start = start.clone();
                label.values.iter().map(move |value| format!("{start}{}=\"{value}\",", label.name))
            };
            combinations.iter().flat_map(with).collect()
        })
    }
}

const fn counter(name: &'static str, labels: &'static [Label]) -> Metric {
    Metric { name, kind: Kind::Counter, labels }
}

const fn gauge(name: &'static str, labels: &'static [Label]) -> Metric {
    Metric { name, kind: Kind::Gauge, labels }
}

const fn histogram(name: &'static str, labels: &'static [Label]) -> Metric {
    Metric { name, kind: Kind::Histogram, labels }
}

const fn closed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values, is_open: false }
}

const fn open(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values, is_open: true }
}
