//! Jobs that a user retries or enqueues manually with a tool of the queue.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, Delivery, HookEvent, JobCounts, JobId},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, Finished},
};

use crate::subject::*;

/// A delivery from the queue, which has acknowledged this many finished attempts.
const fn enqueued(job: JobId, acknowledged: u32) -> Delivery {
    Delivery::Enqueued { task: job, acknowledged }
}

const fn external(job: JobId) -> Delivery {
    Delivery::External { batch: job.batch, seq: job.seq }
}

/// Fails the last attempt of a job, claimed after two acknowledged attempts.
async fn fail_after_two(ledger: &Subject, job: JobId) -> TestResult<Finished> {
    let claim = ledger.work(enqueued(job, 2)).await?.claim;
    Ok(ledger.finish_attempt(&claim, AttemptResult::Failed(because("no ink")), WORKED).await?)
}

/// The queue has acknowledged the failure, so it counts three attempts.
pub async fn a_manually_retried_job_is_revived(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    fail_after_two(&ledger, jobs[0]).await?;
    fail_after_two(&ledger, jobs[1]).await?;
    ledger.complete(jobs[2]).await?;
    ledger.closed(batch, 0).await?;

    let work = ledger.work(enqueued(jobs[0], 3)).await?;

    assert_eq!((work.claim.job, work.claim.epoch, work.attempts_made), (jobs[0], 2, 1));
    let reopened = JobCounts { waiting: 1, completed: 1, failed: 1, ..JobCounts::default() };
    assert_eq!(ledger.listed(batch).await?.jobs, reopened, "it is counted when it is reopened");
    let running = ledger.batch(batch).await?;
    assert_eq!((running.status, running.round, running.finished_at), (BatchStatus::Running, 1, None));
    assert_eq!(
        (running.jobs, running.error),
        (JobCounts { active: 1, completed: 1, failed: 1, ..JobCounts::default() }, None)
    );
    assert_eq!(ledger.insert_chunk(&work.claim, chunk(0..100)).await?, ChunkInserted::New(100));
    let finished = ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    assert_eq!((finished, ledger.tasks_to_close(batch).await?), (RECORDED, close_of(batch, 1)));
    let closed = ledger.closed(batch, 1).await?;
    assert_eq!((closed.status, closed.round, closed.items_created), (BatchStatus::Failed, 2, 200));
    assert_eq!(ledger.failed_jobs(batch, ALL).await?.iter().map(|job| job.seq).collect::<Vec<_>>(), [1]);
    bystander.assert_unchanged(&ledger).await
}

/// The worker died after it recorded the failure and before the queue acknowledged it, so the queue
/// delivers the job again.
pub async fn an_unacknowledged_failure_is_not_a_manual_retry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    let closed = ledger.closed(job.batch, 0).await?;

    // Redis may even have lost earlier acknowledgements.
    for acknowledged in [2, 1, 0] {
        assert_eq!(ledger.claim(enqueued(job, acknowledged)).await?, Claimed::Failed("no ink".into()));
    }

    assert_eq!(ledger.batch(job.batch).await?, closed);
    Ok(())
}

/// Once the failure is acknowledged, the job can be retried manually again.
pub async fn a_revived_job_that_fails_again_can_be_revived_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;

    for round in 0..3 {
        ledger.closed(job.batch, round).await?;
        let acknowledged = round + 3;
        let work = ledger.work(enqueued(job, acknowledged)).await?;
        assert_eq!(work.attempts_made, round + 1);
        let finished = ledger.finish_attempt(&work.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
        assert_eq!((finished, ledger.tasks_to_close(job.batch).await?), (RECORDED, close_of(job.batch, round + 1)));
        assert_eq!(ledger.claim(enqueued(job, acknowledged)).await?, Claimed::Failed("no ink".into()));
    }

    assert_eq!(ledger.failed_jobs(job.batch, ALL).await?[0].attempts, 4);
    Ok(())
}

/// A revived job is a job like any other.
pub async fn a_revived_job_can_be_released_delayed_and_lost(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.failed_batch().await?;
    let revived = ledger.work(enqueued(job, 1)).await?;

    ledger.finish_attempt(&revived.claim, AttemptResult::Released, WORKED).await?;
    assert_eq!(ledger.open_job(job).await?.map(|open| open.attempts_made), Some(1));
    ledger.work(enqueued(job, 1)).await?;
    ledger.complete(job).await?;

    assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    Ok(())
}

pub async fn a_revived_job_has_no_crashes(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    for _ in 0..3 {
        ledger.lose(job).await?;
    }
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    assert!(matches!(ledger.claim(job).await?, Claimed::Failed(why) if why.starts_with("lost its worker 3 times")));

    ledger.work(enqueued(job, 1)).await?;
    ledger.work(enqueued(job, 1)).await?;
    ledger.work(enqueued(job, 1)).await?;

    let poisoned = ledger.claim(enqueued(job, 1)).await?;
    assert!(matches!(poisoned, Claimed::Poisoned(..)), "{poisoned:?}");
    Ok(())
}

/// It is returned to the feeder when the batch is resumed.
pub async fn a_manually_retried_job_waits_for_its_paused_batch(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    fail_after_two(&ledger, jobs[0]).await?;
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.claim(enqueued(jobs[0], 3)).await?, Claimed::Paused);

    let paused = ledger.batch(jobs[0].batch).await?;
    assert_eq!((paused.status, paused.jobs.waiting, paused.jobs.failed), (BatchStatus::Paused, 2, 0));
    ledger.control(jobs[0].batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.open_jobs_of(jobs[0].batch).await?.len(), 2);
    Ok(())
}

pub async fn a_job_of_a_cancelled_batch_is_not_revived(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    fail_after_two(&ledger, jobs[0]).await?;
    let cancelled = ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;

    assert_eq!(ledger.claim(enqueued(jobs[0], 3)).await?, Claimed::NothingToDo);

    assert_eq!(ledger.batch(jobs[0].batch).await?, cancelled);
    Ok(())
}

/// A retry over HTTP recreated it; the queue still has the old generation.
/// The history of its batch is being removed, and its row still exists.
pub async fn a_job_of_a_partly_pruned_batch_is_not_revived(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    for job in &jobs {
        fail_after_two(&ledger, *job).await?;
    }
    ledger.closed(batch, 0).await?;
    let left = ledger.prune_history(Duration::ZERO, 1).await?;
    let before = ledger.batch(batch).await?;

    for job in &jobs {
        assert_eq!(ledger.claim(enqueued(*job, 3)).await?, Claimed::NothingToDo, "{job}");
    }

    assert_eq!((left.jobs, before.history_removed), (1, true));
    assert_eq!(ledger.batch(batch).await?, before);
    Ok(())
}

pub async fn a_recreated_job_is_not_revived(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    ledger.closed(job.batch, 0).await?;
    ledger.retry(job.batch).await?;
    let again = JobId { generation: 1, ..job };
    fail_after_two(&ledger, again).await?;
    let closed = ledger.closed(job.batch, 1).await?;

    assert_eq!(ledger.claim(enqueued(job, 3)).await?, Claimed::NothingToDo);

    assert_eq!(ledger.batch(job.batch).await?, closed);
    assert_eq!(ledger.work(enqueued(again, 3)).await?.claim.job, again);
    Ok(())
}

/// Its last job had finished, and the batch was not closed yet.
pub async fn a_batch_with_a_revived_job_is_not_closed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    assert_eq!(fail_after_two(&ledger, job).await?, RECORDED);
    assert_eq!(ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0));

    let revived = ledger.work(enqueued(job, 3)).await?;

    assert_eq!(ledger.close_task(job.batch).await?, None);
    assert!(ledger.closed(job.batch, 0).await.is_err());
    ledger.insert_chunk(&revived.claim, chunk(0..100)).await?;
    let finished = ledger.finish_attempt(&revived.claim, AttemptResult::Completed, WORKED).await?;
    assert_eq!((finished, ledger.tasks_to_close(job.batch).await?), (RECORDED, close_of(job.batch, 0)));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

/// As after a manual retry.
pub async fn both_ends_of_a_revived_batch_are_recorded(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    ledger.closed(job.batch, 0).await?;
    let revived = ledger.work(enqueued(job, 3)).await?;
    ledger.insert_chunk(&revived.claim, chunk(0..100)).await?;
    ledger.finish_attempt(&revived.claim, AttemptResult::Completed, WORKED).await?;
    ledger.closed(job.batch, 1).await?;

    let events: Vec<_> = ledger.events_of(job.batch).await?;

    let kinds: Vec<_> = events
        .iter()
        .map(|event| match event {
            HookEvent::JobFailed(_) => "job failed",
            HookEvent::JobCompleted(_) => "job completed",
            HookEvent::BatchFinished(end) => end.status.as_str(),
        })
        .collect();
    assert_eq!(kinds, ["job failed", "failed", "job completed", "completed"]);
    Ok(())
}

/// Two workers claim it at once, as after a double click.
pub async fn a_job_is_revived_once(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for _ in 0..20 {
        let job = ledger.one_job().await?;
        fail_after_two(&ledger, job).await?;
        ledger.closed(job.batch, 0).await?;
        let claims = [ledger.share(), ledger.share()]
            .map(|ledger| tokio::spawn(async move { ledger.claim(enqueued(job, 3)).await }));
        for claimed in claims {
            assert!(matches!(claimed.await??, Claimed::Work(_)));
        }
        let batch = ledger.batch(job.batch).await?;
        assert_eq!((batch.status, batch.jobs), (BatchStatus::Running, JobCounts { active: 1, ..JobCounts::default() }));
        ledger.complete(job).await?;
        assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    }
    Ok(())
}

pub async fn an_external_delivery_claims_a_waiting_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.failed_batch().await?;
    ledger.retry(job.batch).await?;

    let work = ledger.work(external(job)).await?;

    assert_eq!((work.claim.job, work.range), (JobId { generation: 1, ..job }, 0..100));
    ledger.insert_chunk(&work.claim, chunk(0..100)).await?;
    let finished = ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    assert_eq!((finished, ledger.tasks_to_close(job.batch).await?), (RECORDED, close_of(job.batch, 1)));
    assert_eq!(ledger.claim(external(job)).await?, Claimed::NothingToDo);
    bystander.assert_unchanged(&ledger).await
}

/// The active worker is not fenced, and the delay is not shortened.
pub async fn an_external_delivery_of_an_active_or_delayed_job_is_ignored(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let held = ledger.claim_job(jobs[0]).await?;
    ledger.end(jobs[1], delayed(because("later"), Duration::from_secs(3_600))).await?;

    for job in &jobs {
        assert_eq!(ledger.claim(external(*job)).await?, Claimed::Busy);
    }

    assert_eq!(ledger.insert_chunk(&held, chunk(0..100)).await?, ChunkInserted::New(100));
    Ok(())
}

/// However many external deliveries there are, no crash is counted.
pub async fn superseding_an_external_claim_is_not_a_crash(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    for _ in 0..5 {
        let claimed = ledger.work(external(job)).await?;
        let own = ledger.work(job).await?;
        assert_eq!(ledger.insert_chunk(&claimed.claim, chunk(0..1)).await?, ChunkInserted::Fenced);
        ledger.finish_attempt(&own.claim, AttemptResult::Released, WORKED).await?;
    }

    ledger.lose(job).await?;
    ledger.lose(job).await?;
    ledger.lose(job).await?;
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    Ok(())
}

/// An external delivery contains no acknowledgements of the job itself.
pub async fn an_external_delivery_revives_no_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    let claimed = ledger.work(external(job)).await?;
    ledger.finish_attempt(&claimed.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let closed = ledger.closed(job.batch, 0).await?;

    for delivery in [external(job), enqueued(job, 0), enqueued(job, 7)] {
        assert_eq!(ledger.claim(delivery).await?, Claimed::Failed("no ink".into()), "{delivery:?}");
    }

    assert_eq!(ledger.batch(job.batch).await?, closed);
    Ok(())
}

pub async fn an_external_delivery_of_an_unworkable_job_is_rejected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    let unknown =
        [Delivery::External { batch: id(4_711), seq: 0 }, Delivery::External { batch: job.batch, seq: u64::MAX }];

    for delivery in unknown {
        assert_eq!(ledger.claim(delivery).await?, Claimed::Unknown, "{delivery}");
    }
    ledger.control(job.batch, BatchCommand::Pause).await?;
    assert_eq!(ledger.claim(external(job)).await?, Claimed::Paused);
    ledger.control(job.batch, BatchCommand::Cancel).await?;
    assert_eq!(ledger.claim(external(job)).await?, Claimed::NothingToDo);
    Ok(())
}
