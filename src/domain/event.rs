//! The events that hooks of the host are called for.

use serde::{Deserialize, Serialize};

use super::{
    batch::{BatchId, BatchStatus},
    job::JobId,
    record::BatchRecord,
};

/// The event of a hook call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum HookEvent {
    /// A batch finished.
    BatchFinished(BatchFinished),
    /// A job failed permanently.
    JobFailed(JobFinished),
    /// A job was completed.
    JobCompleted(JobFinished),
}

impl HookEvent {
    /// Returns the word for the kind of this event in JSON and in the ledger.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BatchFinished(_) => "batch_finished",
            Self::JobFailed(_) => "job_failed",
            Self::JobCompleted(_) => "job_completed",
        }
    }
}

/// The event of a finished batch, with its state at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchFinished {
    /// The batch.
    pub batch_id: BatchId,
    /// The number of times that the batch was closed, including this time: 1 for the first event, 2
    /// for the event after a retry. Equal to [`BatchRecord::round`] once the batch is closed.
    #[serde(default)]
    pub round: u32,
    /// `completed`, `failed` or `cancelled`.
    pub status: BatchStatus,
    /// Number of requested items.
    pub quantity: u64,
    /// Number of items that exist.
    #[serde(default)]
    pub items_created: u64,
    /// Number of failed jobs.
    #[serde(default)]
    pub failed_jobs: u64,
    /// Whether a repair recreated jobs since the batch was closed before: some items were missing,
    /// and exist again.
    #[serde(default)]
    pub repaired: bool,
}

impl BatchFinished {
    /// Makes an event for the tests of a host's hook, of a batch that finished for the first time.
    ///
    /// Of a completed batch every item exists, of another one none. Set the other fields as your
    /// test needs them.
    ///
    /// ```
    /// use rocket_batch::{BatchFinished, BatchId, BatchStatus};
    ///
    /// let mut end = BatchFinished::new(BatchId::new(7)?, BatchStatus::Failed, 5_000);
    /// end.items_created = 4_900;
    /// end.failed_jobs = 1;
    /// # Ok::<_, rocket_batch::Invalid>(())
    /// ```
    #[must_use]
    pub const fn new(batch_id: BatchId, status: BatchStatus, quantity: u64) -> Self {
        let items_created = if matches!(status, BatchStatus::Completed) { quantity } else { 0 };
        Self { batch_id, round: 1, status, quantity, items_created, failed_jobs: 0, repaired: false }
    }

    /// Makes the event of a batch that was just closed.
    pub(crate) const fn of(closed: &BatchRecord) -> Self {
        Self {
            batch_id: closed.batch_id,
            round: closed.round,
            status: closed.status,
            quantity: closed.quantity,
            items_created: closed.items_created,
            failed_jobs: closed.jobs.failed,
            repaired: closed.repaired,
        }
    }
}

/// The event of a finished job, with its state at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobFinished {
    /// The batch.
    pub batch_id: BatchId,
    /// The id of the job, such as `b123-j4-g0`.
    pub job_id: String,
    /// The number of the job within the batch, from 0.
    pub seq: u64,
    /// The first ordinal of the job.
    pub first: u64,
    /// Number of items of the job.
    pub quantity: u64,
    /// Number of its items that exist.
    #[serde(default)]
    pub items_created: u64,
    /// Number of failed attempts.
    #[serde(default)]
    pub attempts: u32,
    /// Why the job failed; `None` when it completed.
    #[serde(default)]
    pub error: Option<String>,
}

impl JobFinished {
    /// Makes an event for the tests of a host's hook: the completed job number `seq` of a batch
    /// whose jobs have `quantity` items each.
    ///
    /// Set the other fields as your test needs them.
    ///
    /// ```
    /// use rocket_batch::{BatchId, JobFinished};
    ///
    /// let mut failed = JobFinished::new(BatchId::new(7)?, 4, 100);
    /// assert_eq!((failed.job_id.as_str(), failed.first, failed.items_created), ("b7-j4-g0", 400, 100));
    /// failed.items_created = 50;
    /// failed.attempts = 3;
    /// failed.error = Some("the label printer has no ink".into());
    /// # Ok::<_, rocket_batch::Invalid>(())
    /// ```
    #[must_use]
    pub fn new(batch_id: BatchId, seq: u64, quantity: u64) -> Self {
        let job_id = JobId { batch: batch_id, seq, generation: 0 }.to_string();
        let (first, items_created) = (seq.saturating_mul(quantity), quantity);
        Self { batch_id, job_id, seq, first, quantity, items_created, attempts: 0, error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_events_that_an_earlier_version_stored() {
        let batch = BatchId::new(7).unwrap();
        let finished = r#"{"event": "batch_finished", "batch_id": 7, "status": "failed", "quantity": 5000}"#;
        let failed =
            r#"{"event": "job_failed", "batch_id": 7, "job_id": "b7-j4-g0", "seq": 4, "first": 400, "quantity": 100}"#;
        let read = |stored| serde_json::from_str::<HookEvent>(stored).unwrap();

        let ended = JobFinished { items_created: 0, ..JobFinished::new(batch, 4, 100) };
        let end = BatchFinished { round: 0, ..BatchFinished::new(batch, BatchStatus::Failed, 5_000) };
        assert_eq!(read(finished), HookEvent::BatchFinished(end));
        assert_eq!(read(failed), HookEvent::JobFailed(ended.clone()));
        assert_eq!(read(&failed.replace("failed", "completed")), HookEvent::JobCompleted(ended));
    }
}
