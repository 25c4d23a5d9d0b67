//! The rate limit of a queue in this process.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::RateLimit;

/// The longest time span that is added to the clock: longer than any process lives, and short
/// enough not to overflow.
pub(super) const MAX_SPAN: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The current window of the rate limit. As in BullMQ, it opens with the first start and not at a
/// fixed time of the clock.
pub(super) struct RateWindow {
    limit: Option<RateLimit>,
    end: Option<Instant>,
    starts: u32,
}

impl RateWindow {
    pub const fn new(limit: Option<RateLimit>) -> Self {
        Self { limit, end: None, starts: 0 }
    }

    /// Returns when the next start is allowed; `None` if it is allowed now.
    pub fn closed_until(&self, now: Instant) -> Option<Instant> {
        let limit = self.limit?;
        self.end.filter(|&end| now < end && self.starts >= limit.jobs)
    }

    /// Counts a start, and opens a new window if the last one has ended.
    pub fn count_start(&mut self, now: Instant) {
        let Some(limit) = self.limit else { return };
        if self.end.is_none_or(|end| now >= end) {
            self.end = Some(add_span(now, limit.per));
            self.starts = 0;
        }
        self.starts += 1;
    }
}

/// Adds `span` to `now`, limited to [`MAX_SPAN`], because a setting or a host may pass any value.
pub(super) fn add_span(now: Instant, span: Duration) -> Instant {
    now + span.min(MAX_SPAN)
}
