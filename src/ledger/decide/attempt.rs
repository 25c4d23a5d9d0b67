//! How an attempt changes its job.

use std::time::Duration;

use crate::{
    domain::{Failure, JobState},
    ledger::types::AttemptResult,
};

/// The change of a job at the end of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ledger) struct JobChange<'a> {
    pub state: JobState,
    /// Number of attempts to add.
    pub attempts_more: u32,
    pub delay: Option<Duration>,
    pub failure: Option<&'a Failure>,
}

impl<'a> JobChange<'a> {
    /// The change that `result` makes.
    pub(in crate::ledger) fn of(result: &'a AttemptResult) -> Self {
        let (state, delay, failure) = match result {
            AttemptResult::Completed => (JobState::Completed, None, None),
            AttemptResult::Failed(failure) => (JobState::Failed, None, Some(failure)),
            AttemptResult::Released => (JobState::Waiting, None, None),
            AttemptResult::Delayed { failure, delay } => (JobState::Delayed, Some(*delay), Some(failure)),
        };
        Self { state, attempts_more: u32::from(failure.is_some()), delay, failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failed_attempts_are_counted() {
        let (failure, delay) = (Failure::because("no ink"), Duration::from_secs(3));
        let delayed = AttemptResult::Delayed { failure: failure.clone(), delay };
        let failed = AttemptResult::Failed(failure.clone());
        let table = [
            (&AttemptResult::Completed, (JobState::Completed, 0, None, None)),
            (&AttemptResult::Released, (JobState::Waiting, 0, None, None)),
            (&delayed, (JobState::Delayed, 1, Some(delay), Some(&failure))),
            (&failed, (JobState::Failed, 1, None, Some(&failure))),
        ];

        for (result, (state, attempts_more, delay, failure)) in table {
            assert_eq!(JobChange::of(result), JobChange { state, attempts_more, delay, failure });
        }
    }
}
