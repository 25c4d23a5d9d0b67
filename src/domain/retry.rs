//! A retry of failed jobs: what to retry, and the report.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    batch::{BatchId, BatchStatus, Limits},
    invalid::{Invalid, InvalidFields},
    job::ErrorGroup,
};

/// The failed jobs to retry. The default selects all.
///
/// ```
/// use rocket_batch::RetryOptions;
///
/// let first_ten = RetryOptions { limit: Some(10), ..RetryOptions::default() };
/// assert!(!first_ten.dry_run);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryOptions {
    /// Only jobs whose error is in this [group](crate::FailureGroup::group). Default: all groups.
    pub group: Option<String>,
    /// Only these jobs, by their numbers: 1 to 1,000 numbers. Default: all jobs.
    pub jobs: Option<Vec<u64>>,
    /// At most this many jobs, those with the lowest numbers: 1 to 100,000. Default: no limit.
    pub limit: Option<u64>,
    /// Whether to change nothing and only report what a retry would do. Default: false.
    pub dry_run: bool,
}

impl RetryOptions {
    /// The pattern of a group, for the OpenAPI schema.
    pub(crate) const GROUP_PATTERN: &str = "^[0-9a-f]{16}$";
    /// The largest number of [`RetryOptions::jobs`].
    pub(crate) const MAX_NUMBERS: usize = MAX_LISTED_JOBS;
    /// The largest [`RetryOptions::limit`].
    pub(crate) const MAX_LIMIT: u64 = Limits::MAX_JOBS;
    /// The largest number of a job.
    pub(crate) const MAX_SEQ: u64 = Limits::MAX_JOBS - 1;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`InvalidFields`] with each field that is out of its limits.
    pub(crate) fn check(&self) -> Result<(), InvalidFields> {
        InvalidFields::check([
            self.group.as_deref().map_or(Ok(()), check_group),
            self.jobs.as_deref().map_or(Ok(()), check_jobs),
            self.limit.map_or(Ok(()), |limit| Invalid::check_range("limit", limit, 1, Self::MAX_LIMIT)),
        ])
    }
}

/// Checks the id of a group of errors.
pub(crate) fn check_group(group: &str) -> Result<(), Invalid> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if group.len() == ErrorGroup::ID_LENGTH && group.bytes().all(is_digit) {
        return Ok(());
    }
    let rule = format!("must be {} digits of 0-9 and a-f, from `failure-groups`", ErrorGroup::ID_LENGTH);
    Err(Invalid::new("group", rule))
}

fn check_jobs(jobs: &[u64]) -> Result<(), Invalid> {
    if !(1..=RetryOptions::MAX_NUMBERS).contains(&jobs.len()) {
        let rule = format!("must have 1 to {} numbers, but has {}", RetryOptions::MAX_NUMBERS, jobs.len());
        return Err(Invalid::new("jobs", rule));
    }
    let wrong = jobs.iter().find(|seq| **seq > RetryOptions::MAX_SEQ);
    wrong.map_or(Ok(()), |seq| Invalid::check_range("jobs", *seq, 0, RetryOptions::MAX_SEQ))
}

/// The maximum number of jobs in each list of a response. A batch may have 100,000 jobs.
pub(crate) const MAX_LISTED_JOBS: usize = 1_000;

/// The result of a retry. `found` and `recreated` count all jobs; each list has the first 1,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RetryReport {
    /// The batch.
    pub batch_id: BatchId,
    /// Whether this was a dry run: nothing was changed, and the other fields say what a retry would
    /// do.
    pub dry_run: bool,
    /// Number of failed jobs that match the request's group and numbers, ignoring its limit.
    pub found: u64,
    /// Number of jobs that were recreated, or would be in a dry run, each with all its attempts
    /// again.
    pub recreated: u64,
    /// The jobs that were not recreated, with the reason; at most 1,000. Jobs beyond the limit of
    /// the request are not listed.
    pub skipped: Vec<SkippedJob>,
    /// Whether more jobs were skipped than are listed.
    pub skipped_truncated: bool,
    /// The new ids of these jobs, at most 1,000.
    pub job_ids: Vec<String>,
    /// Whether more jobs were recreated than are listed.
    pub job_ids_truncated: bool,
    /// The status of the batch after the retry, or as it would be in a dry run.
    pub status: BatchStatus,
}

impl RetryReport {
    /// Makes the report of a retry that found no failed jobs.
    pub(crate) const fn empty(batch_id: BatchId, status: BatchStatus) -> Self {
        Self {
            batch_id,
            dry_run: false,
            found: 0,
            recreated: 0,
            skipped: Vec::new(),
            skipped_truncated: false,
            job_ids: Vec::new(),
            job_ids_truncated: false,
            status,
        }
    }

    /// Returns the report with at most 1,000 jobs in each list.
    pub(crate) fn truncated(mut self) -> Self {
        self.skipped_truncated = truncate(&mut self.skipped);
        self.job_ids_truncated = truncate(&mut self.job_ids);
        self
    }
}

/// Truncates `list` to [`MAX_LISTED_JOBS`]. Returns whether it was longer.
fn truncate<T>(list: &mut Vec<T>) -> bool {
    let is_longer = list.len() > MAX_LISTED_JOBS;
    list.truncate(MAX_LISTED_JOBS);
    is_longer
}

/// A failed job that a retry did not recreate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SkippedJob {
    /// The job.
    pub job_id: String,
    /// Why it was not recreated.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(skipped: usize, recreated: usize) -> RetryReport {
        let batch = BatchId::new(7).unwrap();
        let skip = |seq| SkippedJob { job_id: format!("b7-j{seq}-g0"), reason: "it is completed now".into() };
        RetryReport {
            found: (skipped + recreated) as u64,
            recreated: recreated as u64,
            skipped: (0..skipped).map(skip).collect(),
            job_ids: (skipped..skipped + recreated).map(|seq| format!("b7-j{seq}-g1")).collect(),
            ..RetryReport::empty(batch, BatchStatus::Running)
        }
    }

    #[test]
    fn rejects_a_selection_out_of_its_limits_by_field() {
        let options = RetryOptions::default;
        let (group, jobs) = (|text: &str| Some(text.to_owned()), |seqs: &[u64]| Some(seqs.to_vec()));
        let table = [
            (options(), None),
            (
                RetryOptions {
                    group: group("0123456789abcdef"),
                    jobs: jobs(&[0, 99_999]),
                    limit: Some(1),
                    ..options()
                },
                None,
            ),
            (RetryOptions { group: group("0123456789ABCDEF"), ..options() }, Some("group")),
            (RetryOptions { group: group(""), ..options() }, Some("group")),
            (RetryOptions { jobs: jobs(&[]), ..options() }, Some("jobs")),
            (RetryOptions { jobs: jobs(&[0; 1_001]), ..options() }, Some("jobs")),
            (RetryOptions { jobs: jobs(&[3, 100_000]), ..options() }, Some("jobs")),
            (RetryOptions { limit: Some(0), ..options() }, Some("limit")),
            (RetryOptions { limit: Some(100_001), ..options() }, Some("limit")),
        ];

        for (options, field) in table {
            assert_eq!(options.check().err().map(|invalid| invalid.first().field), field, "{options:?}");
        }
    }

    #[test]
    fn lists_the_first_1000_jobs_of_each_kind_and_counts_all() {
        for (skipped, recreated) in [(0, 0), (1_000, 1_000), (1_001, 3), (3, 1_001), (2_000, 98_000)] {
            let report = of(skipped, recreated).truncated();

            assert_eq!((report.skipped.len(), report.skipped_truncated), (skipped.min(1_000), skipped > 1_000));
            assert_eq!((report.job_ids.len(), report.job_ids_truncated), (recreated.min(1_000), recreated > 1_000));
            assert_eq!((report.found, report.recreated), ((skipped + recreated) as u64, recreated as u64));
            assert_eq!(report.skipped.first(), of(skipped, recreated).skipped.first());
        }
    }
}
