//! Which ends of jobs the host is notified of, and when a failed finish hook is called again.

use std::time::Duration;

use crate::{
    domain::{Backoff, BatchFinished, BatchRecord, Failure, HookEvent, JobFinished, JobState},
    ledger::types::{HookKinds, HookRetry},
};

/// The shortest delay between two calls of a finish hook, whatever the configured backoff is.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// What follows a call of a finish hook that failed with `error` after `tries` failed calls.
/// `random` is a random number from 0 to 1.
pub(in crate::ledger) fn hook_retry(tries: u32, backoff: Backoff, random: f64, error: String) -> HookRetry {
    let tries = tries.saturating_add(1);
    HookRetry { error: Failure::because(error).reason, tries, delay: backoff.jittered(tries, random).max(MIN_DELAY) }
}

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
    fn calls_a_failed_finish_hook_again_with_growing_delays_and_without_an_end() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300) };
        let delays = [0, 1, 2, 20, u32::MAX].map(|tries| hook_retry(tries, backoff, 0.0, "no".into()).delay.as_secs());

        assert_eq!(delays, [1, 2, 4, 300, 300]);
        let none = Backoff { first: Duration::ZERO, max: Duration::ZERO };
        let retry = hook_retry(4, none, 1.0, "x".repeat(5_000));
        assert_eq!((retry.tries, retry.delay), (5, MIN_DELAY));
        assert!(retry.error.len() <= 1_024 + 3, "{}", retry.error.len());
    }

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
