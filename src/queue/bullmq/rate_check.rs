//! Whether the rate limit of a queue in Redis is used up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bullmq::QueueKeys;
use redis::Cmd;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{error::BoxResult, round_trips::RoundTrips};

/// How long an answer of Redis is used.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// How long a caller waits for Redis. After that the last answer is used.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// The last answer of Redis, and when to ask again.
#[derive(Default)]
pub(super) struct RateCheck {
    is_limited: AtomicBool,
    next_read: Mutex<Option<Instant>>,
}

impl RateCheck {
    /// Returns whether all `starts` of a window are used up. Asks Redis at most once a second, and
    /// returns the last answer if Redis does not answer at once.
    pub async fn is_limited(&self, round_trips: &RoundTrips, keys: &QueueKeys, starts: u32) -> bool {
        // While one caller asks, the others use the last answer.
        if let Ok(mut next_read) = self.next_read.try_lock()
            && next_read.is_none_or(|next| Instant::now() >= next)
        {
            *next_read = Some(Instant::now() + READ_INTERVAL);
            let used = timeout(READ_TIMEOUT, used_starts(round_trips, keys)).await;
            let is_limited = used.is_ok_and(|used| used.is_ok_and(|used| used >= u64::from(starts)));
            self.is_limited.store(is_limited, Ordering::Relaxed);
        }
        self.is_limited.load(Ordering::Relaxed)
    }
}

/// Reads how many jobs started in the current window of the rate limit.
async fn used_starts(round_trips: &RoundTrips, keys: &QueueKeys) -> BoxResult<u64> {
    let starts: Option<u64> = round_trips.command(Cmd::get(keys.limiter())).await?;
    Ok(starts.unwrap_or_default())
}
