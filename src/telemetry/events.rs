//! The events that neither decorator sees, one function each.
//!
//! A leaf: every module may call it. Without the feature `metrics` the functions are empty.
#![cfg_attr(
    not(feature = "metrics"),
    expect(unused_variables, clippy::missing_const_for_fn, reason = "the functions are empty")
)]

/// A chunk that the database rejected is tried again.
pub(crate) fn chunk_retried() {
    #[cfg(feature = "metrics")]
    metrics::counter!("rocket_batch_chunk_retries_total").increment(1);
}

/// A chunk failed all its tries.
pub(crate) fn chunk_failed() {
    #[cfg(feature = "metrics")]
    metrics::counter!("rocket_batch_failed_chunks_total").increment(1);
}

/// A call of a hook of this `kind` ended, and its outcome is recorded: `delivered`, `failed` or
/// `given_up`.
pub(crate) fn hook_called(kind: &'static str, outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("rocket_batch_hooks_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// The feeder put jobs back into the queue that the queue had lost.
pub(crate) fn jobs_repaired(jobs: u64) {
    #[cfg(feature = "metrics")]
    metrics::counter!("rocket_batch_feeder_repairs_total").increment(jobs);
}

/// The database or the server of the queues (`database`, `redis`) answers again.
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "the decorator of the ledger calls it"))]
pub(crate) fn reconnected(part: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("rocket_batch_reconnects_total", "part" => part).increment(1);
}

/// A check found this many stalled batches.
pub(crate) fn stalled_batches(batches: usize) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("rocket_batch_stalled_batches").set(batches as f64);
}
