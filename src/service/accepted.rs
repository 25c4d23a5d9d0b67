//! The response to a new batch.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    domain::{BatchId, JobId, MAX_LISTED_JOBS, in_words},
    ledger::Created,
};

/// The response to a request for a new batch. The batch is stored, and its items will be generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BatchAccepted {
    /// Always true. A rejected request is an error.
    pub success: bool,
    /// The id of the batch.
    pub batch_id: BatchId,
    /// Number of items to generate.
    pub total_quantity: u64,
    /// Number of jobs that generate them.
    pub jobs_created: u64,
    /// The ids of the first 1,000 jobs, in ascending order.
    pub job_ids: Vec<String>,
    /// Whether the batch has more jobs than `jobIds` lists.
    pub job_ids_truncated: bool,
    /// The estimated duration in words: `90 seconds`, `100 minutes`.
    pub estimated_duration: String,
    /// The estimated duration in seconds.
    pub estimated_seconds: u64,
}

impl BatchAccepted {
    /// Describes a batch that the ledger created.
    pub(super) fn of(Created { batch, quantity, jobs, estimated, .. }: Created) -> Self {
        let listed = jobs.min(MAX_LISTED_JOBS as u64);
        Self {
            success: true,
            batch_id: batch,
            total_quantity: quantity,
            jobs_created: jobs,
            job_ids: (0..listed).map(|seq| JobId { batch, seq, generation: 0 }.to_string()).collect(),
            job_ids_truncated: listed < jobs,
            estimated_duration: in_words(estimated),
            estimated_seconds: estimated.as_secs(),
        }
    }
}

/// Whether a request was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The request created the batch.
    First,
    /// The request was repeated, and gets the same response as the first one.
    Again,
}
