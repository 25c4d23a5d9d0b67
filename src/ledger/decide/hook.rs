//! Which ends of jobs the host is notified of.

use crate::{
    domain::{BatchFinished, BatchRecord, HookEvent, JobFinished, JobState},
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

/// The kind of the hook row, and its event, of a batch that finished as `record`.
pub(in crate::ledger) fn batch_event(record: &BatchRecord) -> (&'static str, HookEvent) {
    ("batch_finished", HookEvent::BatchFinished(BatchFinished::of(record)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BatchId;

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

    #[test]
    fn the_kind_of_a_hook_row_names_its_event() {
        let job = JobFinished {
            batch_id: BatchId::new(7).unwrap(),
            job_id: "b7-j0-g0".into(),
            seq: 0,
            first: 0,
            quantity: 100,
            items_created: 60,
            attempts: 3,
            error: Some("no ink".into()),
        };
        let kind = |state| match job_event(state, job.clone()) {
            Some((kind, HookEvent::JobFailed(ended))) if ended == job => (kind, "failed"),
            Some((kind, HookEvent::JobCompleted(ended))) if ended == job => (kind, "completed"),
            Some((kind, event)) => panic!("{kind}: {event:?}"),
            None => ("", ""),
        };
        let table = [
            (JobState::Failed, ("job_failed", "failed")),
            (JobState::Completed, ("job_completed", "completed")),
            (JobState::Waiting, ("", "")),
            (JobState::Active, ("", "")),
            (JobState::Delayed, ("", "")),
            (JobState::Cancelled, ("", "")),
        ];

        for (state, expected) in table {
            assert_eq!(kind(state), expected, "{state:?}");
        }
    }
}
