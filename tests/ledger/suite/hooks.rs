//! hook, `record_hook_outcome`: events for the host.

use std::time::Duration;

use chrono::Utc;
use rocket_batch::{
    domain::{BatchFinished, BatchStatus, HookEvent, HookId, JobFinished, StatusTask},
    ledger::{BatchCommand, Hook, HookKinds, HookOutcome, Rules},
};

use crate::subject::*;

pub async fn a_hook_exists_until_it_is_delivered(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];
    assert!(ledger.hook(hook).await?.is_some());

    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;
    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    assert_eq!(ledger.hook(HookId(4_711)).await?, None);
    // A queue may still have the id, so it must not be reused.
    ledger.closed(job.batch, 0).await?;
    assert_ne!(ledger.hooks_of(job.batch).await?, [hook]);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_hook_that_failed_is_due_again_later(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let others = ledger.hooks_of(id(1)).await?;
    assert_eq!(others.len(), 2);
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    let again = HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() + Duration::from_secs(60) };
    ledger.record_hook_outcome(hook, 0, again.clone()).await?;
    ledger.record_hook_outcome(hook, 1, again).await?;

    let task = StatusTask::Hook { batch: job.batch, hook };
    let due = ledger.open_tasks(EVERY_TASK).await?.status.into_iter().find(|(of, _)| *of == task);
    assert!(due.is_some_and(|(_, delay)| delay > Duration::from_secs(50)));
    assert_eq!(ledger.hook(hook).await?.map(|hook| hook.attempts), Some(2));
    for other in others {
        assert_eq!(ledger.hook(other).await?.map(|hook| hook.attempts), Some(0));
    }
    bystander.assert_unchanged(&ledger).await
}

pub async fn open_hooks_counts_those_that_wait_for_a_call(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    assert_eq!(ledger.open_hooks(batch).await?, 0);
    for job in &jobs {
        ledger.fail(*job).await?;
    }
    let hooks = ledger.hooks_of(batch).await?;
    assert_eq!((ledger.open_hooks(batch).await?, hooks.len()), (3, 3));

    ledger.record_hook_outcome(hooks[0], 0, HookOutcome::Delivered).await?;
    ledger.record_hook_outcome(hooks[1], 0, HookOutcome::GivenUp { error: "no answer".into() }).await?;
    let later = HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() + Duration::from_secs(60) };
    ledger.record_hook_outcome(hooks[2], 0, later).await?;

    assert_eq!(ledger.open_hooks(batch).await?, 1);
    assert_eq!(ledger.open_hooks(id(4_711)).await?, 0);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_hook_that_was_given_up_is_not_returned_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    ledger.record_hook_outcome(hook, 0, HookOutcome::GivenUp { error: "no answer".into() }).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    bystander.assert_unchanged(&ledger).await
}

/// The response to the first call was lost, so it is repeated with the number of attempts before
/// it.
pub async fn a_hook_call_counts_once_however_often_its_outcome_is_recorded(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.fail(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    let hooks = ledger.hooks_of(jobs[0].batch).await?;
    let attempts = async || ledger.hook(hooks[0]).await.map(|hook| hook.map(|hook| hook.attempts));
    let again = || HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() };
    let given_up = || HookOutcome::GivenUp { error: "no answer".into() };

    ledger.record_hook_outcome(hooks[0], 0, again()).await?;
    ledger.record_hook_outcome(hooks[0], 0, again()).await?;
    ledger.record_hook_outcome(hooks[0], 0, given_up()).await?;
    assert_eq!(attempts().await?, Some(1), "the other two knew less");

    ledger.record_hook_outcome(hooks[0], 1, given_up()).await?;
    ledger.record_hook_outcome(hooks[0], 1, again()).await?;
    ledger.record_hook_outcome(hooks[0], 2, again()).await?;
    assert_eq!(attempts().await?, None);
    assert_eq!(ledger.hooks_of(jobs[0].batch).await?, hooks[1..]);
    assert_eq!(ledger.hook(hooks[1]).await?.map(|hook| hook.attempts), Some(0));
    bystander.assert_unchanged(&ledger).await
}

/// Two workers called it: one succeeded, one got no response. The host has been notified.
pub async fn a_delivery_counts_even_after_a_failure(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    let hook = ledger.hooks_of(job.batch).await?[0];

    ledger
        .record_hook_outcome(hook, 0, HookOutcome::RetryLater { error: "no answer".into(), not_before: Utc::now() })
        .await?;
    ledger.record_hook_outcome(hook, 0, HookOutcome::Delivered).await?;

    assert_eq!(ledger.hook(hook).await?, None);
    assert_eq!(ledger.hooks_of(job.batch).await?, []);
    bystander.assert_unchanged(&ledger).await
}

pub async fn events_without_hooks_are_not_recorded(harness: impl Harness) -> TestResult {
    let none = HookKinds::default();
    let table = [
        (none, [0, 0, 0]),
        (HookKinds { batch_finished: true, ..none }, [1, 0, 0]),
        (HookKinds { job_failed: true, ..none }, [0, 1, 0]),
        (HookKinds { job_completed: true, ..none }, [0, 0, 1]),
    ];

    for (hooks, expected) in table {
        let ledger = harness.ledger_with(Rules { hooks, ..RULES }).await;
        let jobs = ledger.jobs_of(a_batch()).await?;
        ledger.complete(jobs[0]).await?;
        ledger.fail(jobs[1]).await?;
        ledger.closed(jobs[0].batch, 0).await?;
        let mut counts = [0, 0, 0];
        for event in ledger.events_of(jobs[0].batch).await? {
            counts[match event {
                HookEvent::BatchFinished(_) => 0,
                HookEvent::JobFailed(_) => 1,
                HookEvent::JobCompleted(_) => 2,
            }] += 1;
        }
        assert_eq!(counts, expected, "{hooks:?}");
    }
    Ok(())
}

pub async fn each_event_is_recorded_as_it_was(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let batch_id = jobs[0].batch;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.closed(batch_id, 0).await?;
    ledger.retry(batch_id).await?;
    ledger.control(batch_id, BatchCommand::Cancel).await?;

    let job = |seq: u64, items_created, attempts, error: Option<&str>| {
        let mut job = JobFinished::new(batch_id, seq, 100);
        (job.items_created, job.attempts, job.error) = (items_created, attempts, error.map(Into::into));
        job
    };
    let finished = |round, status, failed_jobs| {
        let mut finished = BatchFinished::new(batch_id, status, 200);
        (finished.round, finished.items_created, finished.failed_jobs) = (round, 100, failed_jobs);
        HookEvent::BatchFinished(finished)
    };
    assert_eq!(
        ledger.events_of(batch_id).await?,
        [
            HookEvent::JobCompleted(job(0, 100, 0, None)),
            HookEvent::JobFailed(job(1, 0, 1, Some("no ink"))),
            finished(1, BatchStatus::Failed, 1),
            finished(2, BatchStatus::Cancelled, 0),
        ]
    );
    let first = ledger.hooks_of(batch_id).await?[0];
    assert!(matches!(ledger.hook(first).await?, Some(Hook { attempts: 0, .. })));
    bystander.assert_unchanged(&ledger).await
}
