//! The body of a retry.

use schemars::JsonSchema;
use serde::Deserialize;

use super::input::Whole;
use crate::domain::{Invalid, RetryOptions};

/// The failed jobs to retry. Without a body, all of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(description = "The failed jobs to retry; by default all.")]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetryJobs {
    /// Only jobs whose error is in this group, from `failure-groups`. Default: all groups.
    #[schemars(regex(pattern = RetryOptions::GROUP_PATTERN))]
    group: Option<String>,

    /// Only these jobs, by their numbers (`seq`). Default: all jobs.
    #[schemars(with = "Option<Vec<u64>>", length(min = 1, max = RetryOptions::MAX_NUMBERS))]
    jobs: Option<Vec<Whole>>,

    /// At most this many jobs, those with the lowest numbers. Default: no limit.
    #[schemars(with = "Option<u64>", range(min = 1, max = RetryOptions::MAX_LIMIT))]
    limit: Option<Whole>,

    /// Whether to change nothing and only report what the retry would do. Default: false.
    dry_run: bool,
}

impl RetryJobs {
    /// Checks that each number is in range. The service checks the other limits.
    pub(super) fn validate(self) -> Result<RetryOptions, Invalid> {
        let seq = |seq: Whole| seq.between("jobs", 0, RetryOptions::MAX_SEQ);
        Ok(RetryOptions {
            group: self.group,
            jobs: self.jobs.map(|jobs| jobs.into_iter().map(seq).collect()).transpose()?,
            limit: self.limit.map(|limit| limit.in_range("limit", RetryOptions::MAX_LIMIT)).transpose()?,
            dry_run: self.dry_run,
        })
    }
}
