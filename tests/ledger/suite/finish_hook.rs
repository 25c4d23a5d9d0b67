//! The finish hook of a host: its rows and the end of a batch are one commit.

use std::time::Duration;

use rocket_batch::{
    domain::{Backoff, BatchStatus, Caller, JobCounts, WaitingFor},
    ledger::{BatchCommand, Closed, HookRetry, LedgerError, Planned},
};
use tokio::{task::JoinSet, time::sleep};

use crate::subject::*;

/// No second call within a test.
const LONG: Backoff = Backoff { first: Duration::from_secs(3_600), max: Duration::from_secs(7_200) };
/// A second call within a test.
const SHORT: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(20) };
const NO: HookFailure = HookFailure::Error("no warehouse");

fn retry_of(closed: Closed) -> TestResult<HookRetry> {
    match closed {
        Closed::HookFailed(retry) => Ok(retry),
        other => Err(format!("the hook did not fail: {other:?}").into()),
    }
}

/// What a caller sees a batch wait for.
async fn waiting_for(ledger: &Subject, batch: rocket_batch::BatchId) -> TestResult<Option<WaitingFor>> {
    Ok(progress_of(&ledger.batch(batch).await?).waiting_for)
}

pub async fn a_finish_hook_writes_in_the_transaction_that_closes_a_batch(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let batch = jobs[0].batch;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;

    assert_eq!(ledger.closed(batch, 0).await?.status, BatchStatus::Failed);
    assert_eq!(ledger.close(batch, 0).await?, Closed::NothingToDo);
    ledger.retry(batch).await?;
    let [again] = &ledger.open_jobs_of(batch).await?[..] else { return Err("one job is open".into()) };
    ledger.complete(again.job).await?;
    assert_eq!(ledger.closed(batch, 1).await?.status, BatchStatus::Completed);

    let ends = [(batch.get(), 1, "failed".to_owned()), (batch.get(), 2, "completed".to_owned())];
    assert_eq!((hook.ends(&ledger).await?, hook.calls()), (ends.into(), 2));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_failed_finish_hook_leaves_the_batch_open_until_a_later_call(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, SHORT).await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;
    let hooks = ledger.hooks_of(job.batch).await?;
    hook.fails_with(NO);

    for tries in 1..=4 {
        let retry = retry_of(ledger.close(job.batch, 0).await?)?;
        assert_eq!((retry.error.as_str(), retry.tries), ("no warehouse", tries));
        assert!((Duration::from_millis(10)..=SHORT.max).contains(&retry.delay), "{:?}", retry.delay);
        let open = ledger.batch(job.batch).await?;
        assert_eq!((open.status, open.round, open.finished_at), (BatchStatus::Running, 0, None));
        assert_eq!((open.error, open.hook_error.as_deref()), (None, Some("no warehouse")));
        assert_eq!(ledger.listed(job.batch).await?.hook_error.as_deref(), Some("no warehouse"));
        assert_eq!(waiting_for(&ledger, job.batch).await?, Some(WaitingFor::Hook));
        assert_eq!((hook.ends(&ledger).await?, ledger.hooks_of(job.batch).await?), (vec![], hooks.clone()));
        sleep(retry.delay).await;
        assert_eq!(ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0), "its time has come");
        assert!(ledger.close_task(job.batch).await?.is_some());
    }
    hook.succeeds();
    let closed = ledger.closed(job.batch, 0).await?;

    assert_eq!((closed.status, closed.round, closed.hook_error), (BatchStatus::Completed, 1, None));
    assert_eq!(hook.ends(&ledger).await?, [(job.batch.get(), 1, "completed".to_owned())]);
    assert_eq!(ledger.hooks_of(job.batch).await?.len(), hooks.len() + 1);
    assert_eq!((hook.calls(), waiting_for(&ledger, job.batch).await?), (5, None));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_batch_waits_for_the_next_call_of_its_finish_hook(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let [job, other] = [ledger.one_job().await?, ledger.one_job().await?];
    ledger.complete(job).await?;
    ledger.complete(other).await?;
    hook.fails_with(NO);

    let retry = retry_of(ledger.close(job.batch, 0).await?)?;

    assert!((LONG.first / 2..=LONG.first).contains(&retry.delay), "{:?}", retry.delay);
    assert_eq!((ledger.tasks_to_close(job.batch).await?, ledger.close_task(job.batch).await?), (vec![], None));
    // A task that was delivered twice.
    assert_eq!((ledger.close(job.batch, 0).await?, hook.calls()), (Closed::NothingToDo, 1));
    assert_eq!(ledger.batches_to_close(&[job.batch, other.batch]).await?, close_of(other.batch, 0));
    Ok(())
}

pub async fn a_panic_of_a_finish_hook_is_an_error(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, SHORT).await;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;
    hook.fails_with(HookFailure::Panic("out of paper"));

    let retry = retry_of(ledger.close(job.batch, 0).await?)?;

    assert_eq!((retry.error.as_str(), retry.tries), ("panicked: out of paper", 1));
    assert!(hook.ends(&ledger).await?.is_empty());
    hook.succeeds();
    sleep(retry.delay).await;
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

pub async fn a_cancel_is_rejected_with_the_error_of_the_finish_hook(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let (batch, claim) = (jobs[0].batch, ledger.claim_job(jobs[0]).await?);
    hook.fails_with(NO);
    let before = ledger.batch(batch).await?;

    for _ in 0..2 {
        let refused = ledger.control(batch, BatchCommand::Cancel).await;
        assert!(matches!(&refused, Err(LedgerError::HookFailed { why }) if why == "no warehouse"), "{refused:?}");
    }

    assert_eq!(ledger.batch(batch).await?, before);
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, rocket_batch::ledger::ChunkInserted::New(10));
    assert_eq!((hook.ends(&ledger).await?, ledger.hooks_of(batch).await?), (vec![], vec![]));
    hook.succeeds();
    let cancelled = ledger.control(batch, BatchCommand::Cancel).await?;
    assert_eq!((cancelled.status, cancelled.jobs.cancelled), (BatchStatus::Cancelled, 3));
    assert_eq!(hook.ends(&ledger).await?, [(batch.get(), 1, "cancelled".to_owned())]);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_batch_that_waits_for_its_finish_hook_can_be_cancelled(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;
    hook.fails_with(NO);
    retry_of(ledger.close(job.batch, 0).await?)?;

    let refused = ledger.control(job.batch, BatchCommand::Cancel).await;
    assert!(matches!(refused, Err(LedgerError::HookFailed { .. })), "{refused:?}");
    assert_eq!(waiting_for(&ledger, job.batch).await?, Some(WaitingFor::Hook));
    hook.succeeds();
    let cancelled = ledger.control(job.batch, BatchCommand::Cancel).await?;

    assert_eq!((cancelled.status, cancelled.round, &cancelled.hook_error), (BatchStatus::Cancelled, 1, &None));
    assert_eq!(cancelled.jobs, JobCounts { completed: 1, ..JobCounts::default() });
    assert_eq!(ledger.close(job.batch, 0).await?, Closed::NothingToDo);
    assert_eq!(hook.ends(&ledger).await?, [(job.batch.get(), 1, "cancelled".to_owned())]);
    Ok(())
}

pub async fn a_batch_that_can_not_be_planned_stays_unplanned_while_its_finish_hook_fails(
    harness: impl Harness,
) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, SHORT).await;
    let bystander = ledger.bystander().await?;
    let [batch, planned, other] =
        [ledger.requested(a_batch()).await?, ledger.requested(a_batch()).await?, ledger.requested(a_batch()).await?];
    hook.fails_with(NO);

    for batch in [batch, planned] {
        let Planned::HookFailed(retry) = ledger.plan(batch, too_many()).await? else { panic!("the hook fails") };
        assert_eq!((retry.error.as_str(), retry.tries), ("no warehouse", 1));
        assert_eq!(waiting_for(&ledger, batch).await?, Some(WaitingFor::Hook));
        assert_eq!((ledger.batch(batch).await?.status, hook.ends(&ledger).await?), (BatchStatus::Pending, vec![]));
    }
    let Planned::HookFailed(retry) = ledger.plan(batch, too_many()).await? else { panic!("the hook fails") };
    assert_eq!(retry.tries, 2);
    sleep(SHORT.max).await;
    let due: Vec<_> = ledger.unplanned().await?.iter().map(|unplanned| unplanned.batch).collect();
    assert_eq!(due, [batch, planned, other]);
    hook.succeeds();
    assert_eq!(ledger.plan(batch, too_many()).await?, Planned::Now);
    // The limits were raised meanwhile.
    assert_eq!(ledger.plan(planned, plan_input(a_batch())).await?, Planned::Now);

    let failed = ledger.batch(batch).await?;
    assert_eq!((failed.status, failed.hook_error), (BatchStatus::Failed, None));
    assert_eq!(hook.ends(&ledger).await?, [(batch.get(), 1, "failed".to_owned())]);
    let planned = ledger.batch(planned).await?;
    assert_eq!((planned.status, planned.jobs.waiting, planned.hook_error), (BatchStatus::Pending, 2, None));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_retry_ends_the_wait_for_a_finish_hook(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let job = ledger.one_job().await?;
    ledger.fail(job).await?;
    hook.fails_with(NO);
    retry_of(ledger.close(job.batch, 0).await?)?;

    let report = ledger.retry(job.batch).await?;

    assert_eq!((report.recreated, report.status), (1, BatchStatus::Running));
    assert_eq!((ledger.batch(job.batch).await?.hook_error, waiting_for(&ledger, job.batch).await?), (None, None));
    hook.succeeds();
    let [again] = &ledger.open_jobs_of(job.batch).await?[..] else { return Err("one job is open".into()) };
    ledger.complete(again.job).await?;
    assert_eq!(ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    assert_eq!(hook.ends(&ledger).await?, [(job.batch.get(), 1, "completed".to_owned())]);
    Ok(())
}

pub async fn a_paused_batch_waits_for_its_finish_hook_too(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, SHORT).await;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;
    ledger.control(job.batch, BatchCommand::Pause).await?;
    hook.fails_with(NO);

    let retry = retry_of(ledger.close(job.batch, 0).await?)?;
    assert_eq!((ledger.batch(job.batch).await?.status, retry.tries), (BatchStatus::Paused, 1));
    ledger.control(job.batch, BatchCommand::Resume).await?;
    hook.succeeds();
    sleep(retry.delay).await;

    assert_eq!(ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

/// In SQLite, calls at the same time share a transaction.
pub async fn a_failed_finish_hook_undoes_no_other_closing(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    let mut batches = Vec::new();
    for _ in 0..20 {
        let job = ledger.one_job().await?;
        ledger.complete(job).await?;
        batches.push(job.batch);
    }
    hook.fails_with(NO);
    hook.fails_for(batches[7]);

    let mut closing = JoinSet::new();
    for batch in batches.clone() {
        let ledger = ledger.share();
        closing.spawn(async move { (batch, ledger.close(batch, 0).await) });
    }
    let closed = closing.join_all().await;

    for (batch, closed) in closed {
        assert_eq!(matches!(closed?, Closed::HookFailed(_)), batch == batches[7], "batch {batch}");
    }
    let ends: Vec<_> = hook.ends(&ledger).await?.into_iter().map(|(batch, ..)| batch).collect();
    let others: Vec<_> = batches.iter().filter(|batch| **batch != batches[7]).map(|batch| batch.get()).collect();
    assert_eq!(ends, others);
    assert_eq!(ledger.batch(batches[7]).await?.status, BatchStatus::Running);
    Ok(())
}

pub async fn a_finish_hook_writes_once_although_many_close_the_batch(harness: impl Harness) -> TestResult {
    let hook = ScriptedHook::default();
    let ledger = harness.ledger_with_finish_hook(&hook, LONG).await;
    for _ in 0..10 {
        let job = ledger.one_job().await?;
        ledger.complete(job).await?;
        let mut closing = JoinSet::new();
        for _ in 0..4 {
            let ledger = ledger.share();
            closing.spawn(async move { ledger.close(job.batch, 0).await });
        }
        let ledger = ledger.share();
        closing.spawn(async move {
            match ledger.control(job.batch, BatchCommand::Cancel, &Caller::default()).await {
                Ok(_) | Err(LedgerError::NotAllowed(_)) => Ok(Closed::NothingToDo),
                Err(error) => Err(error),
            }
        });
        closing.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    }

    let ends = hook.ends(&ledger).await?;
    assert_eq!(ends.len(), 10);
    for (batch, round, status) in ends {
        assert_eq!((ledger.batch(id(batch)).await?.status.as_str(), round), (status.as_str(), 1));
    }
    Ok(())
}
