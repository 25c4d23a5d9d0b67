//! The body of a retry.

use schemars::JsonSchema;

use super::input::{Whole, in_range};
use crate::{
    domain::{Invalid, RetryOptions},
    http::{fields::Fields, problem::Problem},
    service::BatchError,
};

/// The failed jobs to retry. Without a body, all of them.
#[derive(JsonSchema)]
#[schemars(description = "The failed jobs to retry; by default all.", rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only described")]
pub(super) struct RetryJobs {
    /// Only jobs whose error is in this group, from `failure-groups`. Default: all groups.
    #[schemars(regex(pattern = RetryOptions::GROUP_PATTERN))]
    group: Option<String>,

    /// Only these jobs, by their numbers (`seq`). Default: all jobs.
    #[schemars(length(min = 1, max = RetryOptions::MAX_NUMBERS), inner(range(max = RetryOptions::MAX_SEQ)))]
    jobs: Option<Vec<u64>>,

    /// At most this many jobs, those with the lowest numbers. Default: no limit.
    #[schemars(range(min = 1, max = RetryOptions::MAX_LIMIT))]
    limit: Option<u64>,

    /// Whether to change nothing and only report what the retry would do. Default: false.
    dry_run: Option<bool>,
}

impl RetryJobs {
    pub(super) fn read(fields: Fields<Self>) -> Result<RetryOptions, Problem> {
        let mut fields = fields.reader();
        let options = RetryOptions {
            group: fields.optional("group", |_, group| Ok(group)),
            jobs: fields.optional("jobs", numbers),
            limit: fields.optional("limit", in_range(RetryOptions::MAX_LIMIT)),
            dry_run: fields.optional("dryRun", |_, dry_run| Ok(dry_run)).unwrap_or_default(),
        };
        fields.finish().and(options.check().map(|()| options).map_err(BatchError::from))
    }
}

fn numbers(field: &'static str, jobs: Vec<Whole>) -> Result<Vec<u64>, Invalid> {
    jobs.into_iter().map(|seq| seq.between(field, 0, RetryOptions::MAX_SEQ)).collect()
}
