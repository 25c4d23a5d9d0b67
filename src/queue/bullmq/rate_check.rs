//! Whether waiting tasks of a queue in Redis can start.

use std::{
    sync::{Mutex as SyncMutex, PoisonError},
    time::Duration,
};

use bullmq::QueueKeys;
use redis::Cmd;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::{error::BoxResult, round_trips::RoundTrips};
use crate::queue::contract::QueueCondition;

/// How long an answer of Redis is used.
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// How long a caller waits for Redis. After that Redis counts as unreachable.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// The last answer of Redis, and when to ask again.
#[derive(Default)]
pub(super) struct RateCheck {
    last: SyncMutex<Option<QueueCondition>>,
    next_read: Mutex<Option<Instant>>,
}

impl RateCheck {
    /// Returns whether tasks can start if the rate limit allows `starts` per window. Asks Redis at
    /// most once a second, and returns the last answer meanwhile.
    pub async fn condition(&self, round_trips: &RoundTrips, keys: &QueueKeys, starts: Option<u32>) -> QueueCondition {
        // While one caller asks, the others use the last answer.
        if let Ok(mut next_read) = self.next_read.try_lock()
            && next_read.is_none_or(|next| Instant::now() >= next)
        {
            *next_read = Some(Instant::now() + READ_INTERVAL);
            let used = timeout(READ_TIMEOUT, used_starts(round_trips, keys)).await;
            let condition = match used {
                Ok(Ok(used)) if starts.is_some_and(|starts| used >= u64::from(starts)) => QueueCondition::RateLimited,
                Ok(Ok(_)) => QueueCondition::Open,
                Ok(Err(_)) | Err(_) => QueueCondition::Unreachable,
            };
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(condition);
        }
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.unwrap_or(QueueCondition::Open)
    }
}

/// Reads how many jobs started in the current window of the rate limit.
async fn used_starts(round_trips: &RoundTrips, keys: &QueueKeys) -> BoxResult<u64> {
    let starts: Option<u64> = round_trips.command(Cmd::get(keys.limiter())).await?;
    Ok(starts.unwrap_or_default())
}
