//! What a retry does with the failed jobs of a batch.

use crate::{
    domain::{BatchRecord, BatchStatus, Change, JobId, RetryReport, SkippedJob},
    ledger::error::LedgerError,
};

/// A failed job, as `retry` reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct FailedJobRow {
    pub job: JobId,
    /// Whether all its items exist. Its last attempt ended before it could record that.
    pub has_all_items: bool,
}

/// The status of the batch after a retry.
///
/// # Errors
///
/// [`LedgerError::NotAllowed`] and [`LedgerError::HistoryRemoved`].
pub(in crate::ledger) fn reopened_status(batch: &BatchRecord) -> Result<BatchStatus, LedgerError> {
    let status = batch.status.after(Change::Retry)?;
    if batch.history_removed { Err(LedgerError::HistoryRemoved(batch.batch_id)) } else { Ok(status) }
}

/// The report of a retry that completes the jobs with all items and recreates the others.
pub(in crate::ledger) fn retry_report(empty: RetryReport, failed: &[FailedJobRow]) -> RetryReport {
    let (complete, others): (Vec<_>, Vec<_>) = failed.iter().partition(|failed| failed.has_all_items);
    let skipped = |FailedJobRow { job, .. }: &FailedJobRow| SkippedJob {
        job_id: job.to_string(),
        reason: "all its items exist; it is completed now".into(),
    };
    let recreated = |FailedJobRow { job, .. }: &FailedJobRow| JobId { generation: job.generation + 1, ..*job };
    RetryReport {
        found: failed.len() as u64,
        recreated: others.len() as u64,
        job_ids: others.iter().map(recreated).map(|job| job.to_string()).collect(),
        skipped: complete.iter().map(skipped).collect(),
        ..empty
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{Activity, BatchId, ItemOptions, JobCounts, Measured};

    #[test]
    fn a_retry_recreates_jobs_with_missing_items_and_completes_the_others() {
        let batch = BatchId::new(7).unwrap();
        let failed =
            |seq, generation, has_all_items| FailedJobRow { job: JobId { batch, seq, generation }, has_all_items };

        let empty = RetryReport::empty(batch, BatchStatus::Running);
        let report = retry_report(empty, &[failed(0, 0, false), failed(3, 1, true), failed(4, 2, false)]);

        assert_eq!((report.found, report.recreated), (3, 2));
        assert_eq!(report.job_ids, ["b7-j0-g1", "b7-j4-g3"]);
        assert_eq!(report.skipped.iter().map(|job| job.job_id.as_str()).collect::<Vec<_>>(), ["b7-j3-g1"]);
    }

    #[test]
    fn only_batches_that_may_run_again_and_still_have_their_jobs_are_retried() {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
        let reopened = |status, history_removed| match reopened_status(&record(status, history_removed)) {
            Ok(status) => Ok(status),
            Err(LedgerError::NotAllowed(_)) => Err("not allowed"),
            Err(LedgerError::HistoryRemoved(_)) => Err("history removed"),
            Err(error) => panic!("{error}"),
        };
        let table = [
            (Running, Ok(Running)),
            (Paused, Ok(Paused)),
            (Failed, Ok(Running)),
            (Pending, Err("not allowed")),
            (Completed, Err("not allowed")),
            (Cancelled, Err("not allowed")),
        ];

        for (status, expected) in table {
            assert_eq!(reopened(status, false), expected, "{status:?}");
        }
        assert_eq!(reopened(Failed, true), Err("history removed"));
        assert_eq!(reopened(Cancelled, true), Err("not allowed"), "the more lasting reason");
    }

    fn record(status: BatchStatus, history_removed: bool) -> BatchRecord {
        BatchRecord {
            batch_id: BatchId::new(7).unwrap(),
            status,
            quantity: 100,
            options: ItemOptions::default(),
            jobs: JobCounts::default(),
            items_created: 0,
            round: 0,
            created_at: DateTime::UNIX_EPOCH,
            started_at: None,
            finished_at: None,
            error: None,
            hook_error: None,
            history_removed,
            measured: Measured::default(),
            activity: Activity::default(),
        }
    }
}
