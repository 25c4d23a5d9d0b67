//! How commands and the end of its jobs change a batch.

use crate::{
    domain::{BatchStatus, Change, JobCounts},
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

/// The status of the batch once closed; `None` if it can't be closed now.
pub(in crate::ledger) fn closed_status(status: BatchStatus, jobs: &JobCounts) -> Option<BatchStatus> {
    let closed = status.after(Change::Close { failed: jobs.failed > 0 }).ok()?;
    (jobs.open() == 0).then_some(closed)
}

/// The error of a batch with failed jobs, the first of which failed with `first`.
pub(in crate::ledger) fn closing_error(jobs: &JobCounts, first: &str) -> String {
    format!("{} of {} jobs failed: {first}", jobs.failed, jobs.total())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(closing_error(&failed, "no ink"), "1 of 3 jobs failed: no ink");
    }
}
