//! close: the end of a batch.

use rocket_batch::{
    domain::{BatchStatus, JobCounts, StatusTask},
    ledger::{AttemptResult, BatchCommand, Closed},
};

use crate::subject::*;

pub async fn a_batch_is_closed_once(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;

    assert_eq!(ledger.close(job.batch, 1).await?, Closed::NothingToDo);
    let closed = ledger.closed(job.batch, 0).await?;
    for round in 0..3 {
        assert_eq!(ledger.close(job.batch, round).await?, Closed::NothingToDo);
    }
    assert_eq!(ledger.close(id(4_711), 0).await?, Closed::NothingToDo);

    assert_eq!((closed.status, closed.round, &closed.error), (BatchStatus::Completed, 1, &None));
    assert_eq!(closed.jobs, JobCounts { completed: 1, ..JobCounts::default() });
    assert!(is_recent(closed.finished_at));
    assert_eq!(ledger.batch(job.batch).await?, closed);
    assert_eq!(ledger.close_task(job.batch).await?, None);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_batch_with_open_jobs_is_not_closed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    assert_eq!(ledger.close(jobs[0].batch, 0).await?, Closed::NothingToDo);

    ledger.complete(jobs[0]).await?;
    ledger.lose(jobs[1]).await?;

    assert_eq!(ledger.close(jobs[0].batch, 0).await?, Closed::NothingToDo);
    assert_eq!(ledger.batch(jobs[0].batch).await?.status, BatchStatus::Running);
    Ok(())
}

/// It has no jobs yet, and so no open ones.
pub async fn an_unplanned_batch_is_not_closed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let batch = ledger.requested(a_batch()).await?;
    ledger.control(batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.close(batch, 0).await?, Closed::NothingToDo);
    assert_eq!(ledger.batch(batch).await?.status, BatchStatus::Paused);
    Ok(())
}

pub async fn a_batch_with_failed_jobs_fails_with_the_reason(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.end(jobs[3], AttemptResult::Failed(because("no paper"))).await?;
    ledger.end(jobs[1], AttemptResult::Failed(because("no ink"))).await?;
    ledger.complete(jobs[0]).await?;
    ledger.complete(jobs[2]).await?;

    let closed = ledger.closed(jobs[0].batch, 0).await?;

    assert_eq!((closed.status, closed.items_created), (BatchStatus::Failed, 200));
    assert_eq!(closed.jobs, JobCounts { completed: 2, failed: 2, ..JobCounts::default() });
    assert_eq!(closed.error.as_deref(), Some("2 of 4 jobs failed: no ink"));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_paused_batch_is_closed_when_its_last_jobs_finished(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    ledger.control(job.batch, BatchCommand::Pause).await?;

    let finished = ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?;

    assert_eq!((finished, ledger.tasks_to_close(job.batch).await?), (RECORDED, close_of(job.batch, 0)));
    assert_eq!(ledger.close_task(job.batch).await?, Some(StatusTask::Close { batch: job.batch, round: 0 }));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}
