//! Timeouts that several files use.

use std::time::Duration;

/// The timeout to open a connection, and for one round trip.
pub(super) const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout for one call of BullMQ's queue, which may add a page of jobs.
pub(super) const QUEUE_CALL_TIMEOUT: Duration = Duration::from_secs(5);
