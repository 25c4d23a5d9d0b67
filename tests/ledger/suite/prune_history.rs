//! `prune_history`: old job rows are removed.

use std::{collections::HashSet, time::Duration};

use rocket_batch::{
    domain::{BatchId, BatchStatus, Caller, JobCounts, JobId, RetryOptions},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, Closed, Finished, HookOutcome, LedgerError, Pruned},
};
use tokio::task::JoinSet;

use crate::subject::*;

/// Every finished batch is older than this.
const LONG_AGO: Duration = Duration::ZERO;

/// A closed batch of `failed` failed jobs and a completed one.
async fn finished_batch(ledger: &Subject, failed: u64) -> TestResult<Vec<JobId>> {
    let jobs = ledger.jobs_of(a_batch().of((failed + 1) * 10).in_jobs_of(10)).await?;
    for job in &jobs[1..] {
        ledger.fail(*job).await?;
    }
    ledger.complete(jobs[0]).await?;
    ledger.closed(jobs[0].batch, 0).await?;
    Ok(jobs)
}

/// Prunes until nothing is left, in portions of `max`, and returns the sum.
async fn prune_all(ledger: &Subject, max: u64) -> TestResult<Pruned> {
    let mut sum = Pruned::default();
    for _ in 0..1_000 {
        let portion = ledger.prune_history(LONG_AGO, max).await?;
        assert!(portion.jobs + portion.hooks <= max, "{portion:?}");
        sum = sum.and(portion);
        if !portion.has_more {
            return Ok(sum);
        }
    }
    Err(format!("there is no end to it: {sum:?}").into())
}

fn is_removed<T>(answer: &Result<T, LedgerError>, of: BatchId) -> bool {
    matches!(answer, Err(LedgerError::HistoryRemoved(batch)) if *batch == of)
}

pub async fn history_is_removed_in_portions_oldest_batch_first(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(finished_batch(&ledger, 4).await?[0].batch);
    }
    let marks = async || {
        let mut marks = Vec::new();
        for batch in &batches {
            let marked = ledger.batch(*batch).await?.history_removed;
            match ledger.failed_jobs(*batch, ALL).await {
                Ok(failed) => assert_eq!((failed.len(), marked), (4, false)),
                refused => assert!(marked && is_removed(&refused, *batch), "{refused:?}"),
            }
            match ledger.share().jobs(*batch, None, ALL).await {
                Ok(portion) => assert_eq!((portion.rows.len(), marked), (5, false)),
                refused => assert!(marked && is_removed(&refused, *batch), "{refused:?}"),
            }
            marks.push(marked);
        }
        Ok::<_, LedgerError>(marks)
    };
    let portion = |batches| Pruned { batches, jobs: 3, hooks: 0, has_more: true };

    assert_eq!(marks().await?, [false; 3]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, portion(0));
    assert_eq!(marks().await?, [true, false, false]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, portion(1));
    assert_eq!(marks().await?, [true, true, false]);
    for _ in 0..3 {
        ledger.prune_history(LONG_AGO, 3).await?;
    }
    assert_eq!(marks().await?, [true; 3]);
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, Pruned { batches: 1, ..Pruned::default() });
    assert_eq!(ledger.prune_history(LONG_AGO, 3).await?, Pruned::default());
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_long_history_is_removed_in_portions(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = ledger.create(a_batch().of(20_000).in_jobs_of(1).build()).await?.batch;
    ledger.control(batch, BatchCommand::Cancel).await?;

    let gone = prune_all(&ledger, 1_000).await?;

    assert_eq!((gone.batches, gone.jobs), (1, 20_000));
    assert_eq!(ledger.batch(batch).await?.jobs, JobCounts { cancelled: 20_000, ..JobCounts::default() });
    bystander.assert_unchanged(&ledger).await
}

pub async fn open_and_recently_finished_batches_keep_their_history(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let mut finished = Vec::new();
    for status in BatchStatus::ALL {
        let batch = ledger.batch_with_status(status).await?;
        finished.extend(status.is_finished().then_some(batch));
    }

    for kept in [Duration::from_secs(60), Duration::from_secs(10 * 366 * 24 * 60 * 60)] {
        assert_eq!(ledger.prune_history(kept, 1_000).await?, Pruned::default());
    }
    let gone = ledger.prune_history(LONG_AGO, 1_000).await?;

    assert_eq!((gone.batches, gone.jobs, gone.has_more), (3, 3, false));
    let all = ledger.batches(None, ALL).await?;
    let removed: HashSet<_> = all.iter().filter(|batch| batch.history_removed).map(|batch| batch.batch_id).collect();
    assert_eq!(removed, finished.into_iter().collect());
    for open in all.iter().filter(|batch| !batch.status.is_finished() && batch.quantity == 100) {
        assert_eq!(open.jobs.total(), 1);
        ledger.control(open.batch_id, BatchCommand::Cancel).await?;
    }
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_pruned_batch_and_its_items_stay_as_they_were(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let new = || a_batch().with_id(77).asked_by(a_request("shop", "200"));
    let jobs = ledger.jobs_of(new()).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.closed(id(77), 0).await?;
    let (before, items) = (ledger.batch(id(77)).await?, ledger.items(id(77), ALL).await?);

    assert_eq!(prune_all(&ledger, 1).await?.jobs, 2);

    let after = ledger.batch(id(77)).await?;
    assert_eq!(after.jobs, JobCounts { completed: 1, failed: 1, ..JobCounts::default() });
    let mut expected = before;
    expected.history_removed = true;
    assert_eq!(after, expected);
    assert_eq!((items.len(), ledger.items(id(77), ALL).await?), (100, items));
    assert!(is_removed(&ledger.retry(id(77)).await, id(77)));
    assert!(is_removed(&ledger.failure_groups(id(77), ALL).await, id(77)));
    assert!(is_removed(&ledger.job_map(id(77)).await, id(77)));
    for command in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(id(77), command).await, Err(LedgerError::NotAllowed(_))));
    }
    assert_eq!(ledger.close(id(77), 1).await?, Closed::NothingToDo);
    assert_eq!(ledger.close_task(id(77)).await?, None);
    assert!(ledger.create(new().build()).await?.repeated, "the request is remembered");
    assert!(matches!(ledger.create(a_batch().with_id(77).build()).await, Err(LedgerError::IdInUse(_))));
    bystander.assert_unchanged(&ledger).await
}

/// A queue may deliver a job long after its batch was cancelled, and a worker may continue as late.
pub async fn jobs_of_a_pruned_batch_have_nothing_to_do(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let late = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&late, chunk(0..50)).await?;
    ledger.complete(jobs[1]).await?;
    ledger.control(late.job.batch, BatchCommand::Cancel).await?;

    prune_all(&ledger, 2).await?;

    for job in jobs {
        assert_eq!(ledger.claim(job).await?, Claimed::NothingToDo);
    }
    assert_eq!(ledger.claim(JobId { batch: id(4_711), ..late.job }).await?, Claimed::Unknown);
    let written = ledger.insert_chunk(&late, chunk(50..100)).await?;
    assert!(matches!(written, ChunkInserted::Fenced | ChunkInserted::Cancelled), "{written:?}");
    assert_eq!(ledger.finish_attempt(&late, AttemptResult::Completed, WORKED).await?, Finished::Fenced);
    assert_eq!(ledger.items_of(late.job.batch).await?.len(), 150);
    bystander.assert_unchanged(&ledger).await
}

pub async fn only_one_of_a_concurrent_retry_and_removal_succeeds(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    for round in 0..40 {
        let batch = finished_batch(&ledger, 3).await?[0].batch;
        let (one, other) = (ledger.share(), ledger.share());
        let retry = async move { one.retry(batch, RetryOptions::default(), &Caller::default()).await };
        let prune = async move { other.prune_history(LONG_AGO, 2).await };
        // The first one is likelier to win, so they alternate.
        let (retried, pruned) = if round % 2 == 0 {
            let (retry, prune) = (tokio::spawn(retry), tokio::spawn(prune));
            (retry.await?, prune.await??)
        } else {
            let (prune, retry) = (tokio::spawn(prune), tokio::spawn(retry));
            (retry.await?, prune.await??)
        };

        let after = ledger.batch(batch).await?;
        if pruned.jobs == 0 {
            assert_eq!(retried?.found, 3);
            assert_eq!((after.status, after.history_removed), (BatchStatus::Running, false));
            assert_eq!(after.jobs, JobCounts { waiting: 3, completed: 1, ..JobCounts::default() });
            assert_eq!(ledger.open_jobs_of(batch).await?.len(), 3);
        } else {
            assert!(is_removed(&retried, batch), "{retried:?}");
            assert_eq!((after.status, after.history_removed), (BatchStatus::Failed, true));
            assert_eq!(after.jobs, JobCounts { completed: 1, failed: 3, ..JobCounts::default() });
        }
        prune_all(&ledger, 1_000).await?;
    }
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_retried_batch_is_pruned_after_it_finishes_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = finished_batch(&ledger, 1).await?;
    let batch = jobs[0].batch;
    ledger.retry(batch).await?;

    assert_eq!(prune_all(&ledger, 10).await?, Pruned::default());
    ledger.complete(JobId { generation: 1, ..jobs[1] }).await?;
    assert_eq!(prune_all(&ledger, 10).await?, Pruned::default(), "it is to be closed");
    ledger.closed(batch, 1).await?;

    assert_eq!(prune_all(&ledger, 10).await?.jobs, 2);
    let after = ledger.batch(batch).await?;
    assert_eq!((after.status, after.history_removed, after.jobs.completed), (BatchStatus::Completed, true, 2));
    Ok(())
}

pub async fn concurrent_removals_share_the_work(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    for failed in 0..20 {
        finished_batch(&ledger, failed % 5).await?;
    }

    let mut at_once = JoinSet::new();
    for _ in 0..4 {
        let ledger = ledger.share();
        at_once.spawn(async move {
            let mut sum = Pruned::default();
            loop {
                sum = sum.and(ledger.prune_history(LONG_AGO, 3).await?);
                if !sum.has_more {
                    return Ok::<_, LedgerError>(sum);
                }
            }
        });
    }
    let mut sum = Pruned::default();
    while let Some(share) = at_once.join_next().await {
        sum = sum.and(share??);
    }

    sum = sum.and(prune_all(&ledger, 3).await?);
    assert_eq!((sum.batches, sum.jobs, sum.hooks), (20, 60, 0));
    bystander.assert_unchanged(&ledger).await
}

pub async fn given_up_hooks_are_removed_with_the_history_and_open_ones_stay(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let given_up = || HookOutcome::GivenUp { error: "no answer".into() };
    let bystander = ledger.jobs_of(a_batch()).await?;
    ledger.fail(bystander[0]).await?;
    ledger.record_hook_outcome(ledger.hooks_of(bystander[0].batch).await?[0], 0, given_up()).await?;
    let batch = finished_batch(&ledger, 3).await?[0].batch;
    let hooks = ledger.hooks_of(batch).await?;
    assert_eq!(hooks.len(), 5);
    for hook in &hooks[..3] {
        ledger.record_hook_outcome(*hook, 0, given_up()).await?;
    }
    let (events, rows) = (ledger.events_of(batch).await?, |jobs, hooks| Pruned { jobs, hooks, ..Pruned::default() });

    assert_eq!(ledger.prune_history(LONG_AGO, 5).await?, Pruned { has_more: true, ..rows(4, 1) });
    assert_eq!(ledger.prune_history(LONG_AGO, 5).await?, Pruned { batches: 1, ..rows(0, 2) });

    assert_eq!(ledger.hooks_of(batch).await?, hooks[3..]);
    assert_eq!(ledger.events_of(batch).await?, events);
    // Given up only now, it is removed the next time, and nothing else is.
    ledger.record_hook_outcome(hooks[3], 0, given_up()).await?;
    assert_eq!(prune_all(&ledger, 5).await?, Pruned { batches: 1, ..rows(0, 1) });
    ledger.record_hook_outcome(hooks[4], 0, HookOutcome::Delivered).await?;
    assert_eq!(prune_all(&ledger, 5).await?, Pruned::default());
    // The bystander's hook was open all the time.
    ledger.complete(bystander[1]).await?;
    ledger.closed(bystander[0].batch, 0).await?;
    assert_eq!(prune_all(&ledger, 5).await?, Pruned { batches: 1, ..rows(2, 1) });
    Ok(())
}

pub async fn a_hook_given_up_during_a_removal_is_removed_too(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    for _ in 0..20 {
        let batch = finished_batch(&ledger, 1).await?[0].batch;
        let mut at_once = JoinSet::new();
        for hook in ledger.hooks_of(batch).await? {
            let ledger = ledger.share();
            let given_up = HookOutcome::GivenUp { error: "no answer".into() };
            at_once.spawn(async move { ledger.record_hook_outcome(hook, 0, given_up).await.map(|()| 0) });
        }
        let hooks = at_once.len() as u64;
        let other = ledger.share();
        at_once.spawn(async move { other.prune_history(LONG_AGO, 1_000).await.map(|pruned| pruned.hooks) });

        let mut removed = 0;
        while let Some(done) = at_once.join_next().await {
            removed += done??;
        }
        removed += prune_all(&ledger, 1_000).await?.hooks;

        assert_eq!(removed, hooks);
    }
    bystander.assert_unchanged(&ledger).await
}
