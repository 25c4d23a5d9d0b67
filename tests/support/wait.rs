//! Waits until a condition is met.

use std::{error::Error, fmt, time::Duration};

use tokio::time::{Instant, sleep};

use super::TestResult;

/// Enough for a slow machine. No wait of a passing test takes a tenth of it.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

const MIN_INTERVAL: Duration = Duration::from_millis(1);

const MAX_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` until its value meets `condition`, and returns the value.
///
/// The interval grows with the time waited: a short wait ends at once, and a long one leaves the
/// processor to what it waits for.
///
/// # Errors
///
/// [`TimedOut`] after `limit`, with `what` and the last value.
pub async fn until<T: fmt::Debug, F: Future<Output = T>>(
    what: impl fmt::Display,
    limit: Duration,
    mut look: impl FnMut() -> F,
    condition: impl Fn(&T) -> bool,
) -> Result<T, TimedOut> {
    let start = Instant::now();
    loop {
        let seen = look().await;
        if condition(&seen) {
            return Ok(seen);
        }
        let waited = start.elapsed();
        if waited > limit {
            return Err(TimedOut(format!("waited {limit:?} until {what}; last seen: {seen:?}")));
        }
        sleep((waited / 20).clamp(MIN_INTERVAL, MAX_INTERVAL)).await;
    }
}

/// The same for a `look` that can fail. Its first error ends the wait.
pub async fn try_until<T, E, F>(
    what: impl fmt::Display,
    limit: Duration,
    look: impl FnMut() -> F,
    condition: impl Fn(&T) -> bool,
) -> TestResult<T>
where
    T: fmt::Debug,
    E: fmt::Debug + Into<Box<dyn Error>>,
    F: Future<Output = Result<T, E>>,
{
    until(what, limit, look, |seen| seen.as_ref().map_or(true, &condition)).await?.map_err(Into::into)
}

/// A condition was not met in time.
pub struct TimedOut(String);

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A test that fails with the error shows it without escapes.
impl fmt::Debug for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for TimedOut {}
