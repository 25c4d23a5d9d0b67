//! The settings of one queue, `[default.batch.generate]` and `[default.batch.status]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::{ConfigError, check_duration, check_range},
    values::{RateLimitSetting, duration, text},
};
use crate::domain::{Backoff, RateLimit, Throughput};

/// The settings of one queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueSettings {
    /// The number of tasks that this process runs at a time: jobs in `generate`, closings of
    /// batches and calls of hooks in `status`. In `status`, the default is 5. 1 to 1,000.
    /// Default: 2.
    pub concurrency: u32,

    /// The maximum number of tasks that run at a time in all processes together. 1 to 1,000,000.
    /// Default: none.
    pub global_concurrency: Option<u32>,

    /// The maximum number of tasks that start per unit of time in all processes together, as
    /// `"<number> per <time>"`, or `"off"`: at least 1 task, in more than 0 and at most 30 days. In
    /// `status`, the default is `"off"`. Default: `"5 per 10s"`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub rate_limit: RateLimitSetting,

    /// The maximum number of attempts at a job, or of calls of a hook, the first one included. 1 to
    /// 100. Default: 3.
    pub attempts: u32,

    /// The delay after the first failed attempt. It doubles with each further one. Random jitter
    /// shortens it by up to a half. In Redis, delays have jitter only if the delay after the last
    /// of the `attempts` would exceed `max_backoff`. 0 to 30 days. Default: `"1s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub backoff: Duration,

    /// The longest delay after a failed attempt. 0 to 30 days. Default: `"5m"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_backoff: Duration,

    /// The number of completed tasks that Redis keeps for display. Without Redis none are kept. In
    /// `status`, the default is 5. Default: 10.
    pub keep_completed: u64,

    /// The number of failed tasks that Redis keeps for display. Without Redis none are kept. In
    /// `status`, the default is 3. Default: 5.
    pub keep_failed: u64,

    /// How long a worker's lock on a job lasts in Redis. The worker renews it twice in this time. A
    /// shorter lock frees the jobs of a killed worker sooner; a longer one survives a slow network.
    /// 1 second to 30 days. Default: `"10s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub lock: Duration,

    /// The interval at which the workers search Redis for jobs whose lock has expired. 500
    /// milliseconds to 30 days. Default: `"5s"`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub stall_check: Duration,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            concurrency: 2,
            global_concurrency: None,
            rate_limit: RateLimitSetting(Some(RateLimit { jobs: 5, per: Duration::from_secs(10) })),
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
            keep_completed: 10,
            keep_failed: 5,
            lock: Duration::from_secs(10),
            stall_check: Duration::from_secs(5),
        }
    }
}

impl QueueSettings {
    /// The defaults of the queue `update-batch-status`.
    pub(super) fn status_defaults() -> Self {
        Self {
            concurrency: 5,
            rate_limit: RateLimitSetting(None),
            keep_completed: 5,
            keep_failed: 3,
            ..Self::default()
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.backoff, max: self.max_backoff }
    }

    pub(crate) fn throughput(&self) -> Throughput {
        Throughput { concurrency: self.concurrency, rate_limit: self.rate_limit.0 }
    }

    /// Checks the settings of the table `queue`.
    pub(super) fn check(&self, queue: &str) -> Result<(), ConfigError> {
        let key = |name: &str| format!("{queue}.{name}");
        check_range(&key("concurrency"), self.concurrency.into(), 1, 1_000)?;
        check_range(&key("global_concurrency"), self.global_concurrency.unwrap_or(1).into(), 1, 1_000_000)?;
        check_range(&key("attempts"), self.attempts.into(), 1, 100)?;
        check_duration(&key("lock"), self.lock, Duration::from_secs(1))?;
        check_duration(&key("stall_check"), self.stall_check, Duration::from_millis(500))?;
        check_duration(&key("backoff"), self.backoff, Duration::ZERO)?;
        check_duration(&key("max_backoff"), self.max_backoff, Duration::ZERO)?;
        self.check_rate_limit(&key("rate_limit"))
    }

    fn check_rate_limit(&self, key: &str) -> Result<(), ConfigError> {
        let Some(RateLimit { jobs, per }) = self.rate_limit.0 else { return Ok(()) };
        check_duration(key, per, Duration::ZERO)?;
        if jobs == 0 || per.is_zero() {
            let reason = "must allow at least 1 job in a time longer than 0, or be \"off\"";
            return Err(ConfigError::new(key, reason));
        }
        Ok(())
    }
}
