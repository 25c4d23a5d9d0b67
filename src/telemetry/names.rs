//! The names of the metrics, with their units and meanings.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

const COUNTERS: [(&str, &str); 9] = [
    ("rocket_batch_items_total", "Items that this process inserted."),
    ("rocket_batch_jobs_total", "Ends of attempts at jobs and tasks in this process, by queue and outcome."),
    ("rocket_batch_chunk_retries_total", "Repeated inserts of a chunk after the database rejected it."),
    ("rocket_batch_failed_chunks_total", "Chunks that failed all their tries."),
    ("rocket_batch_fenced_writes_total", "Writes refused because the job was claimed again."),
    ("rocket_batch_crashes_total", "Claims of a job whose worker had crashed."),
    ("rocket_batch_hooks_total", "Calls of hooks, by kind and outcome."),
    ("rocket_batch_feeder_repairs_total", "Jobs that the queue had lost and the feeder put back."),
    ("rocket_batch_reconnects_total", "Times that the database or Redis answered again after it had not."),
];

/// The counters with labels.
const LABELLED: [&str; 3] = ["rocket_batch_jobs_total", "rocket_batch_hooks_total", "rocket_batch_reconnects_total"];

/// The histograms, all in seconds.
const HISTOGRAMS: [(&str, &str); 3] = [
    ("rocket_batch_job_duration_seconds", "Time of one attempt at a job or task."),
    ("rocket_batch_job_wait_seconds", "Time from when a job or task could start until a worker took it."),
    ("rocket_batch_chunk_duration_seconds", "Time of one insert of a chunk."),
];

const GAUGES: [(&str, &str); 11] = [
    ("rocket_batch_jobs", "Open jobs and tasks in the whole ledger, by queue and state."),
    ("rocket_batch_batches", "Batches in the whole ledger, by status."),
    ("rocket_batch_oldest_open_batch_seconds", "Age of the oldest pending or running batch, 0 without one."),
    ("rocket_batch_last_item_timestamp_seconds", "Unix time of the last inserted item of the whole ledger."),
    ("rocket_batch_stalled_batches", "Open batches that should advance, but do not."),
    ("rocket_batch_hooks_given_up", "Hooks in the ledger that will not be called again."),
    ("rocket_batch_reachable", "Whether this process reached the database or Redis just now: 1 or 0."),
    ("rocket_batch_database_pool", "Connections of this process to the database, by state."),
    ("rocket_batch_event_streams", "Open event streams of this process."),
    ("rocket_batch_build_info", "Always 1; its labels are the version and the kinds of ledger and queue."),
    ("rocket_batch_workers", "Living processes with workers."),
];

/// Starts all counters at zero. The first event of a counter that did not exist before is otherwise
/// no increase for Prometheus.
pub(crate) fn start_at_zero(queues: [&str; 2], has_redis: bool) {
    for (name, _) in COUNTERS.into_iter().filter(|(name, _)| !LABELLED.contains(name)) {
        counter!(name).increment(0);
    }
    for queue in queues {
        for outcome in ["completed", "failed", "retried", "released", "cancelled"] {
            counter!("rocket_batch_jobs_total", "queue" => queue.to_owned(), "outcome" => outcome).increment(0);
        }
    }
    for kind in ["batch_finished", "job_failed", "job_completed"] {
        for outcome in ["delivered", "failed", "given_up"] {
            counter!("rocket_batch_hooks_total", "kind" => kind, "outcome" => outcome).increment(0);
        }
    }
    for part in ["database", "redis"].into_iter().take(if has_redis { 2 } else { 1 }) {
        counter!("rocket_batch_reconnects_total", "part" => part).increment(0);
    }
    gauge!("rocket_batch_stalled_batches").set(0.0);
}

/// Describes all metrics to the installed recorder.
pub(crate) fn describe() {
    COUNTERS.into_iter().for_each(|(name, help)| describe_counter!(name, Unit::Count, help));
    HISTOGRAMS.into_iter().for_each(|(name, help)| describe_histogram!(name, Unit::Seconds, help));
    for (name, help) in GAUGES {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        describe_gauge!(name, unit, help);
    }
}
