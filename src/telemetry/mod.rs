//! Metrics, through the facade `metrics`: they arrive wherever the host's own do.
//!
//! ```text
//!   worker, service ──▶ CountedLedger ──▶ dyn Ledger      jobs, items, chunks, crashes, fences
//!   fairing, worker ──▶ CountedQueue  ──▶ dyn Queue       attempts, waits, status tasks
//!   events.rs           what neither of the two seams shows: one function for each event
//!   gauges.rs           the ledger's totals, read at most every `metrics_interval`
//!   names.rs            the names, with their units and meanings
//!   prometheus.rs       a recorder of our own, for hosts without one
//! ```
//!
//! Each event has one place. The macros of the facade are called directly, because a host may
//! install its recorder after the ignition. No label depends on a batch, so the number of time
//! series stays the same however many batches there are.
//!
//! Without the feature `metrics` there is only `events.rs`, whose functions do nothing then.

#[cfg(feature = "metrics")]
mod counted_ledger;
#[cfg(feature = "metrics")]
mod counted_queue;
pub(crate) mod events;
#[cfg(feature = "metrics")]
mod gauges;
#[cfg(feature = "metrics")]
mod names;
#[cfg(feature = "prometheus")]
mod prometheus;

#[cfg(feature = "prometheus")]
pub(crate) use self::prometheus::Exporter;
#[cfg(feature = "metrics")]
pub(crate) use self::{
    counted_ledger::CountedLedger,
    counted_queue::{CountedQueue, Tasks},
    gauges::Gauges,
    names::{describe, start_at_zero},
};
