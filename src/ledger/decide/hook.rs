//! Which ends of jobs the host is notified of.

use crate::{
    domain::{HookEvent, JobFinished, JobState},
    ledger::types::HookKinds,
};

/// Whether a job that ends in `state` gets a hook row.
pub(in crate::ledger) const fn wants_job_hook(kinds: HookKinds, state: JobState) -> bool {
    match state {
        JobState::Failed => kinds.job_failed,
        JobState::Completed => kinds.job_completed,
        JobState::Waiting | JobState::Active | JobState::Delayed | JobState::Cancelled => false,
    }
}

/// The kind of the hook row, and its event, of a job that ended in `state`.
pub(in crate::ledger) fn job_event(state: JobState, finished: JobFinished) -> Option<(&'static str, HookEvent)> {
    match state {
        JobState::Failed => Some(("job_failed", HookEvent::JobFailed(finished))),
        JobState::Completed => Some(("job_completed", HookEvent::JobCompleted(finished))),
        JobState::Waiting | JobState::Active | JobState::Delayed | JobState::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_the_host_has_hooks_for_are_recorded() {
        let failed = HookKinds { job_failed: true, ..HookKinds::default() };
        let completed = HookKinds { job_completed: true, ..HookKinds::default() };
        let table = [
            (failed, JobState::Failed, true),
            (failed, JobState::Completed, false),
            (completed, JobState::Completed, true),
            (completed, JobState::Failed, false),
            (completed, JobState::Cancelled, false),
            (failed, JobState::Delayed, false),
        ];

        for (kinds, state, expected) in table {
            assert_eq!(wants_job_hook(kinds, state), expected, "{kinds:?} {state:?}");
        }
    }
}
