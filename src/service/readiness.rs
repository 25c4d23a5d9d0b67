//! Whether this process can take requests.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::timeout;

use super::handle::BatchService;
use crate::queue::QueueError;

/// Whether this process can take requests, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Readiness {
    /// Whether this process can take requests.
    pub ready: bool,
    /// The problems, one sentence each.
    pub problems: Vec<String>,
}

/// How long the database and the queue may each take to respond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

impl BatchService {
    /// Whether the process is not shutting down: true after the launch, false from the start of a
    /// shutdown. Does not contact the database or the queue; [`readiness`](Self::readiness) does,
    /// so use that for a load balancer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.parts().draining.is_cancelled()
    }

    /// Checks with one round trip each whether the database and the queue
    /// `generate-product-batch-items` respond, and whether the process is shutting down. Takes at
    /// most 4 seconds. Cancel safe.
    ///
    /// Also says when the database refused the last write with which this process reports itself,
    /// such as on a full disk. That is known within 11 seconds, and 3 seconds after it is mended.
    pub async fn readiness(&self) -> Readiness {
        let (ledger, queue) = (&self.parts().ledger, &self.parts().generate);
        let mut problems = Vec::new();
        if !self.is_ready() {
            problems.push("the process is shutting down".to_owned());
        }
        if !matches!(timeout(PROBE_TIMEOUT, ledger.ping()).await, Ok(Ok(()))) {
            problems.push("the database does not respond".to_owned());
        } else if let Some(refusal) = self.parts().outage.refusal() {
            problems.push(format!("the database refuses writes: {refusal}"));
        }
        match timeout(PROBE_TIMEOUT, queue.ping()).await {
            Ok(Ok(())) => {}
            Ok(Err(QueueError::OtherLedger { queue })) => {
                problems.push(format!("the queue {queue} belongs to another ledger, see `redis.prefix`"));
            }
            Ok(Err(_)) | Err(_) => problems.push(format!("the queue {} does not respond", queue.name())),
        }
        Readiness { ready: problems.is_empty(), problems }
    }
}
