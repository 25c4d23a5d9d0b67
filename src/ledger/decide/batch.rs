//! How commands and the end of its jobs change a batch.

use crate::{
    domain::{BatchRecord, BatchStatus, Change, ChangeRefused, InvalidFields, JobCounts, Measured},
    ledger::types::BatchCommand,
};

/// The change that `command` requests, of a batch of which a job was or was not `started`.
pub(in crate::ledger) const fn requested_change(command: BatchCommand, started: bool) -> Change {
    match command {
        BatchCommand::Cancel => Change::Cancel,
        BatchCommand::Pause => Change::Pause,
        BatchCommand::Resume => Change::Resume { claimed: started },
    }
}

/// The end of a batch without open jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct BatchEnd {
    pub status: BatchStatus,
    pub error: Option<String>,
    pub counts: JobCounts,
    pub measured: Measured,
}

impl BatchEnd {
    /// The end of `record` as `status`, with its counts and without an error.
    pub(in crate::ledger) const fn of(record: &BatchRecord, status: BatchStatus) -> Self {
        Self { status, error: None, counts: record.jobs, measured: record.measured }
    }

    /// The end of a batch with this status once all its jobs ended; `None` if it can't be closed
    /// now.
    pub(in crate::ledger) fn of_closing(status: BatchStatus, record: &BatchRecord) -> Option<Self> {
        Some(Self::of(record, closed_status(status, &record.jobs)?))
    }

    /// The end of a batch with this status that can't be planned.
    pub(in crate::ledger) fn of_refusal(status: BatchStatus, invalid: &InvalidFields) -> Result<Self, ChangeRefused> {
        let (counts, measured) = (JobCounts::default(), Measured::default());
        Ok(Self { status: status.after(Change::Refuse)?, error: Some(invalid.to_string()), counts, measured })
    }

    /// Whether the error of the first failed job belongs to the batch's error.
    pub(in crate::ledger) const fn has_failed_jobs(&self) -> bool {
        self.counts.failed > 0
    }

    /// The same end of a batch whose first failed job failed with `first`.
    pub(in crate::ledger) fn with_first_error(self, first: &str) -> Self {
        let error = format!("{} of {} jobs failed: {first}", self.counts.failed, self.counts.total());
        Self { error: Some(error), ..self }
    }
}

fn closed_status(status: BatchStatus, jobs: &JobCounts) -> Option<BatchStatus> {
    let closed = status.after(Change::Close { failed: jobs.failed > 0 }).ok()?;
    (jobs.open() == 0).then_some(closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Invalid;

    #[test]
    fn a_resumed_batch_returns_to_where_it_was_paused() {
        let after = |started| BatchStatus::Paused.after(requested_change(BatchCommand::Resume, started));

        assert_eq!(after(true), Ok(BatchStatus::Running));
        assert_eq!(after(false), Ok(BatchStatus::Pending));
        assert_eq!(requested_change(BatchCommand::Cancel, true), Change::Cancel);
        assert_eq!(requested_change(BatchCommand::Pause, false), Change::Pause);
    }

    #[test]
    fn a_batch_is_closed_when_no_job_is_open() {
        let completed = JobCounts { completed: 2, ..JobCounts::default() };
        let failed = JobCounts { failed: 1, ..completed };
        let open = JobCounts { delayed: 1, ..failed };
        let table = [
            (BatchStatus::Running, completed, Some(BatchStatus::Completed)),
            (BatchStatus::Running, failed, Some(BatchStatus::Failed)),
            (BatchStatus::Paused, failed, Some(BatchStatus::Failed)),
            (BatchStatus::Running, open, None),
            (BatchStatus::Completed, completed, None),
            (BatchStatus::Cancelled, completed, None),
        ];

        for (status, jobs, expected) in table {
            assert_eq!(closed_status(status, &jobs), expected, "{status:?} {jobs:?}");
        }
    }

    #[test]
    fn the_end_of_a_batch_says_why_it_failed() {
        let counts = JobCounts { completed: 2, failed: 1, ..JobCounts::default() };
        let end = BatchEnd { status: BatchStatus::Failed, error: None, counts, measured: Measured::default() };

        assert!(end.has_failed_jobs());
        assert_eq!(end.with_first_error("no ink").error.as_deref(), Some("1 of 3 jobs failed: no ink"));
        let invalid = Invalid::new("quantity", "must be less").into();
        let refused = BatchEnd::of_refusal(BatchStatus::Pending, &invalid).unwrap();
        assert_eq!((refused.status, refused.error), (BatchStatus::Failed, Some(invalid.to_string())));
        assert!(BatchEnd::of_refusal(BatchStatus::Running, &invalid).is_err(), "it has jobs");
    }
}
