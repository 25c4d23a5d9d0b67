//! Repairs a queue that contains a job whose id is one of the queue's own keys.
//!
//! BullMQ lets a producer choose a job's id. A job called `limiter` or `wait` overwrites the key of
//! that name, and then no client can add or fetch jobs. The snapshot script detects such a job.

use bullmq::QueueKeys;
use redis::Script;

use super::{error::BoxResult, keys::reserved_keys, round_trips::RoundTrips};

/// The script that removes jobs with reserved ids.
pub(super) struct RepairScript(Script);

impl RepairScript {
    pub fn new() -> Self {
        Self(Script::new(include_str!("repair.lua")))
    }

    /// Removes the jobs whose ids are reserved keys of the queue.
    pub async fn repair_reserved_keys(&self, round_trips: &RoundTrips, keys: &QueueKeys) -> BoxResult<()> {
        let (reserved, types) = reserved_keys(keys);
        let mut call = self.0.prepare_invoke();
        call.key(reserved).arg(keys.key_prefix()).arg(types);
        let ids: Vec<String> = round_trips.script(&call).await?;
        tracing::warn!(prefix = keys.key_prefix(), ?ids, "removed jobs whose ids are reserved keys of the queue");
        Ok(())
    }
}
