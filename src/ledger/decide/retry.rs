//! What a retry does with the failed jobs of a batch.

use std::collections::{HashMap, HashSet};

use crate::{
    domain::{BatchId, BatchRecord, BatchStatus, Change, JobId, JobState, RetryOptions, RetryReport, SkippedJob},
    ledger::error::LedgerError,
};

/// A failed job, as `retry` reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct FailedJobRow {
    pub job: JobId,
    /// The group of its error.
    pub group: String,
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

/// The jobs that a retry selects.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Selection {
    /// Number of failed jobs that match.
    found: u64,
    /// Those of them within the limit: they are recreated, or completed if all items exist.
    pub jobs: Vec<FailedJobRow>,
    /// Jobs that the request names, and that are not retried.
    skipped: Vec<SkippedJob>,
}

impl Selection {
    /// Selects from the failed jobs of a batch. `named` are the existing ones of the jobs that the
    /// request names.
    pub(in crate::ledger) fn of(
        batch: BatchId,
        options: &RetryOptions,
        failed: Vec<FailedJobRow>,
        named: &[(JobId, JobState)],
    ) -> Self {
        let names: Option<HashSet<u64>> = options.jobs.as_ref().map(|seqs| seqs.iter().copied().collect());
        let is_named = |failed: &FailedJobRow| names.as_ref().is_none_or(|seqs| seqs.contains(&failed.job.seq));
        let is_in_group = |failed: &FailedJobRow| options.group.as_ref().is_none_or(|group| *group == failed.group);
        let (mut jobs, others): (Vec<_>, Vec<_>) =
            failed.into_iter().filter(is_named).partition(|failed| is_in_group(failed));
        let read: HashSet<u64> = jobs.iter().chain(&others).map(|failed| failed.job.seq).collect();
        let mut skipped: Vec<_> = names.iter().flat_map(|seqs| not_failed(batch, seqs - &read, named)).collect();
        if names.is_some() {
            skipped.extend(others.iter().map(|other| skipped_job(other.job, "its error is in another group")));
        }
        let found = jobs.len() as u64;
        jobs.truncate(options.limit.unwrap_or(u64::MAX) as usize);
        Self { found, jobs, skipped }
    }

    /// The selected jobs whose items all exist, and the others.
    pub(in crate::ledger) fn complete_and_others(&self) -> (Vec<JobId>, Vec<JobId>) {
        let (complete, others): (Vec<_>, Vec<_>) = self.jobs.iter().partition(|failed| failed.has_all_items);
        let ids = |jobs: Vec<&FailedJobRow>| jobs.iter().map(|failed| failed.job).collect();
        (ids(complete), ids(others))
    }

    /// The report of the retry, after which the batch has `status`.
    pub(in crate::ledger) fn report(self, batch: BatchId, status: BatchStatus, dry_run: bool) -> RetryReport {
        let (complete, others) = self.complete_and_others();
        let recreated = |job: &JobId| JobId { generation: job.generation + 1, ..*job }.to_string();
        let mut skipped = self.skipped;
        let marked = if dry_run { "would be marked" } else { "marked" };
        let is_complete = |job| skipped_job(job, format!("all items exist; {marked} as completed"));
        skipped.extend(complete.into_iter().map(is_complete));
        RetryReport {
            dry_run,
            found: self.found,
            recreated: others.len() as u64,
            job_ids: others.iter().map(recreated).collect(),
            skipped,
            ..RetryReport::empty(batch, status)
        }
    }
}

/// The named jobs that were not read as failed, by their numbers. A job that failed after that was
/// read may be failed in `named`.
fn not_failed(batch: BatchId, seqs: HashSet<u64>, named: &[(JobId, JobState)]) -> Vec<SkippedJob> {
    let existing: HashMap<u64, _> = named.iter().map(|(job, state)| (job.seq, (*job, *state))).collect();
    let mut seqs: Vec<_> = seqs.into_iter().collect();
    seqs.sort_unstable();
    let skip = |seq| match existing.get(&seq) {
        None => skipped_job(JobId { batch, seq, generation: 0 }, "the batch has no such job"),
        Some((job, JobState::Failed)) => skipped_job(*job, "it failed just now; retry again"),
        Some((job, state)) => skipped_job(*job, format!("{state}, not failed")),
    };
    seqs.into_iter().map(skip).collect()
}

fn skipped_job(job: JobId, reason: impl Into<String>) -> SkippedJob {
    SkippedJob { job_id: job.to_string(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::{Activity, BatchId, ItemOptions, JobCounts, Measured};

    fn batch() -> BatchId {
        BatchId::new(7).unwrap()
    }

    fn job(seq: u64, generation: u32) -> JobId {
        JobId { batch: batch(), seq, generation }
    }

    /// Jobs 0 and 4 failed with the error `ink`. Job 3 failed with `paper`, and has all its items.
    fn failed() -> Vec<FailedJobRow> {
        let failed = |job, group: &str, has_all_items| FailedJobRow { job, group: group.into(), has_all_items };
        vec![failed(job(0, 0), "ink", false), failed(job(3, 1), "paper", true), failed(job(4, 2), "ink", false)]
    }

    fn skipped(report: &RetryReport) -> Vec<(&str, &str)> {
        report.skipped.iter().map(|job| (job.job_id.as_str(), job.reason.as_str())).collect()
    }

    #[test]
    fn a_retry_recreates_jobs_with_missing_items_and_completes_the_others() {
        let selection = Selection::of(batch(), &RetryOptions::default(), failed(), &[]);

        assert_eq!(selection.complete_and_others(), (vec![job(3, 1)], vec![job(0, 0), job(4, 2)]));
        let report = selection.report(batch(), BatchStatus::Running, false);
        assert_eq!((report.found, report.recreated), (3, 2));
        assert_eq!(report.job_ids, ["b7-j0-g1", "b7-j4-g3"]);
        assert_eq!(skipped(&report), [("b7-j3-g1", "all items exist; marked as completed")]);
    }

    #[test]
    fn a_retry_selects_by_group_and_number_up_to_its_limit() {
        let named = [
            (job(0, 0), JobState::Failed),
            (job(2, 5), JobState::Completed),
            (job(3, 1), JobState::Failed),
            (job(8, 0), JobState::Failed),
        ];
        let report = |options: RetryOptions| {
            let named = if options.jobs.is_some() { &named[..] } else { &[] };
            let selection = Selection::of(batch(), &options, failed(), named);
            selection.report(batch(), BatchStatus::Running, options.dry_run)
        };
        let (ink, jobs) = (Some("ink".to_owned()), Some(vec![3, 0, 2, 9, 0]));
        let (absent, completed, other) = (
            ("b7-j9-g0", "the batch has no such job"),
            ("b7-j2-g5", "completed, not failed"),
            ("b7-j3-g1", "its error is in another group"),
        );

        let by_group = report(RetryOptions { group: ink.clone(), dry_run: true, ..RetryOptions::default() });
        assert_eq!(
            (by_group.found, &*by_group.job_ids, by_group.dry_run),
            (2, &["b7-j0-g1", "b7-j4-g3"].map(String::from)[..], true)
        );
        assert_eq!(skipped(&by_group), []);
        let limited = report(RetryOptions { group: ink.clone(), limit: Some(1), ..RetryOptions::default() });
        assert_eq!((limited.found, limited.recreated, skipped(&limited)), (2, 1, vec![]));
        let by_number = report(RetryOptions { jobs: jobs.clone(), ..RetryOptions::default() });
        assert_eq!((by_number.found, by_number.recreated), (2, 1));
        assert_eq!(skipped(&by_number)[..2], [completed, absent]);
        let late = report(RetryOptions { jobs: Some(vec![8]), ..RetryOptions::default() });
        assert_eq!((late.found, skipped(&late)), (0, vec![("b7-j8-g0", "it failed just now; retry again")]));
        let both = report(RetryOptions { group: ink, jobs, ..RetryOptions::default() });
        assert_eq!((both.found, both.recreated, skipped(&both)), (1, 1, vec![completed, absent, other]));
        let none = report(RetryOptions { group: Some("glue".into()), ..RetryOptions::default() });
        assert_eq!((none.found, none.recreated), (0, 0));
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
            repaired: false,
            measured: Measured::default(),
            activity: Activity::default(),
        }
    }
}
