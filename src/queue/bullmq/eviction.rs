//! Warns if Redis may evict jobs. Evicted jobs are restored from the ledger, but late.

use std::sync::{Mutex, PoisonError};

use super::{error::BoxResult, round_trips::RoundTrips};

/// The eviction policy that was seen last.
#[derive(Default)]
pub(super) struct EvictionCheck(Mutex<Option<String>>);

impl EvictionCheck {
    /// Reads the policy, and logs it on the first call and after each change. A queue needs
    /// `noeviction`.
    pub async fn run(&self, round_trips: &RoundTrips) {
        match read_policy(round_trips).await {
            Ok(Some(policy)) => self.log_change(policy),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "could not read the eviction policy of Redis"),
        }
    }

    fn log_change(&self, policy: String) {
        let previous = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(policy.clone());
        match previous {
            Some(previous) if previous == policy => {}
            _ if policy != "noeviction" => tracing::warn!(
                policy,
                "Redis may evict the queue's keys when its memory is full; set `maxmemory-policy noeviction`"
            ),
            Some(_) => tracing::info!("Redis no longer evicts keys"),
            None => {}
        }
    }
}

async fn read_policy(round_trips: &RoundTrips) -> BoxResult<Option<String>> {
    let mut info = redis::cmd("INFO");
    info.arg("memory");
    let memory: String = round_trips.command(info).await?;
    let policy = memory.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"));
    Ok(policy.map(|policy| policy.trim().to_owned()))
}
