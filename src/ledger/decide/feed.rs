//! What the feeder learns from full pages.

use std::time::Duration;

use super::window::{DUE_JOBS, ENDS_PAGE, HOOKS};
use crate::{
    domain::{BatchId, StatusTask},
    ledger::query::OpenTasks,
};

/// The time until the next delayed job is due, which is in `millis` unless more jobs are due than
/// the `due` ones of a full page.
pub(in crate::ledger) fn next_due(due: usize, millis: Option<i64>) -> Option<Duration> {
    let next = millis.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or_default()));
    if due as u64 >= DUE_JOBS { Some(Duration::ZERO) } else { next }
}

/// Where the search for batches to close continues after the page `started`.
pub(in crate::ledger) fn next_page(started: &[BatchId]) -> Option<BatchId> {
    started.last().copied().filter(|_| started.len() as u64 >= ENDS_PAGE)
}

/// The tasks of the open `hooks`, which may be a full page.
pub(in crate::ledger) fn hook_tasks(hooks: Vec<(StatusTask, Duration)>) -> OpenTasks {
    OpenTasks { has_more: hooks.len() as u64 >= HOOKS, status: hooks, ..OpenTasks::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HookId;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_full_page_means_that_there_may_be_more() {
        let (millis, soon) = (Some(3_000), Some(Duration::from_secs(3)));
        let (full, ends) = (DUE_JOBS as usize, ENDS_PAGE as i64);
        let page = |length: i64| (1..=length).map(id).collect::<Vec<_>>();
        let hooks = |length: u64| {
            let hook = |hook: u64| (StatusTask::Hook { batch: id(1), hook: HookId(hook as i64) }, Duration::ZERO);
            hook_tasks((0..length).map(hook).collect())
        };

        assert_eq!(
            [next_due(0, None), next_due(full - 1, millis), next_due(full, millis)],
            [None, soon, Some(Duration::ZERO)]
        );
        assert_eq!([next_page(&[]), next_page(&page(ends - 1)), next_page(&page(ends))], [None, None, Some(id(ends))]);
        assert_eq!([hooks(HOOKS - 1).has_more, hooks(HOOKS).has_more], [false, true]);
        assert_eq!(hooks(2).status.len(), 2);
    }
}
