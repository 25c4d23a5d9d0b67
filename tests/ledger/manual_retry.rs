//! What somebody does in the queue with a tool of their own: a failed job is put back, or a job is
//! ordered under another id.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, Delivery, HookEvent, JobCounts, JobId},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, Finished},
};

use crate::support::*;

/// The queue hands the job out, having been told so many ends.
const fn told(job: JobId, acknowledged: u32) -> Delivery {
    Delivery::Enqueued { task: job, acknowledged }
}

const fn order(job: JobId) -> Delivery {
    Delivery::External { batch: job.batch, seq: job.seq }
}

/// Ends an attempt for good that began when the queue had been told two ends.
async fn fail_after_two(ledger: &Subject, job: JobId) -> TestResult<Finished> {
    let claim = ledger.work(told(job, 2)).await?.claim;
    Ok(ledger.finish_attempt(&claim, AttemptResult::Failed(because("no ink")), WORKED).await?)
}

/// The failure was acknowledged, so the queue was told three.
pub async fn a_failed_job_that_is_put_back_by_hand_is_revived(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    fail_after_two(&ledger, jobs[0]).await?;
    fail_after_two(&ledger, jobs[1]).await?;
    ledger.complete(jobs[2]).await?;
    ledger.closed(batch, 0).await?;

    let work = ledger.work(told(jobs[0], 3)).await?;

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
    assert_eq!((finished, ledger.at_end_of(batch).await?), (DONE, end_of(batch, 1)));
    let closed = ledger.closed(batch, 1).await?;
    assert_eq!((closed.status, closed.round, closed.items_created), (BatchStatus::Failed, 2, 200));
    assert_eq!(ledger.failed_jobs(batch, ALL).await?.iter().map(|job| job.seq).collect::<Vec<_>>(), [1]);
    bystander.stands_still(&ledger).await
}

/// The worker died after it had settled the job and before the queue knew, so the queue hands it
/// out once more.
pub async fn a_failure_that_was_not_acknowledged_is_nobodys_retry(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    let closed = ledger.closed(job.batch, 0).await?;

    // Redis may even have lost what it had been told.
    for acknowledged in [2, 1, 0] {
        assert_eq!(ledger.claim(told(job, acknowledged)).await?, Claimed::Failed("no ink".into()));
    }

    assert_eq!(ledger.batch(job.batch).await?, closed);
    Ok(())
}

/// Each of them ends, and is acknowledged; then the button is there again.
pub async fn a_revived_job_that_fails_again_can_be_revived_again(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;

    for round in 0..3 {
        ledger.closed(job.batch, round).await?;
        let acknowledged = round + 3;
        let work = ledger.work(told(job, acknowledged)).await?;
        assert_eq!(work.attempts_made, round + 1);
        let finished = ledger.finish_attempt(&work.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
        assert_eq!((finished, ledger.at_end_of(job.batch).await?), (DONE, end_of(job.batch, round + 1)));
        assert_eq!(ledger.claim(told(job, acknowledged)).await?, Claimed::Failed("no ink".into()));
    }

    assert_eq!(ledger.failed_jobs(job.batch, ALL).await?[0].attempts, 4);
    Ok(())
}

/// While it is revived it is a job like any other: given back, delayed, lost, and handed out again.
pub async fn a_revived_job_may_be_interrupted(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.failed_batch().await?;
    let revived = ledger.work(told(job, 1)).await?;

    ledger.finish_attempt(&revived.claim, AttemptResult::Released, WORKED).await?;
    assert_eq!(ledger.open_job(job).await?.map(|open| open.attempts_made), Some(1));
    ledger.work(told(job, 1)).await?;
    ledger.complete(job).await?;

    assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    Ok(())
}

pub async fn a_revived_job_has_new_lives_to_lose(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    for _ in 0..3 {
        ledger.lose(job).await?;
    }
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    assert!(matches!(ledger.claim(job).await?, Claimed::Failed(why) if why.starts_with("lost its worker 3 times")));

    ledger.work(told(job, 1)).await?;
    ledger.work(told(job, 1)).await?;
    ledger.work(told(job, 1)).await?;

    let poisoned = ledger.claim(told(job, 1)).await?;
    assert!(matches!(poisoned, Claimed::Poisoned(..)), "{poisoned:?}");
    Ok(())
}

/// It waits for its batch, and is offered when that is resumed.
pub async fn a_job_that_is_put_back_in_a_paused_batch_waits_for_it(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    fail_after_two(&ledger, jobs[0]).await?;
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.claim(told(jobs[0], 3)).await?, Claimed::Paused);

    let paused = ledger.batch(jobs[0].batch).await?;
    assert_eq!((paused.status, paused.jobs.waiting, paused.jobs.failed), (BatchStatus::Paused, 2, 0));
    ledger.control(jobs[0].batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.open_jobs_of(jobs[0].batch).await?.len(), 2);
    Ok(())
}

pub async fn a_job_of_a_cancelled_batch_is_not_revived(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    fail_after_two(&ledger, jobs[0]).await?;
    let cancelled = ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;

    assert_eq!(ledger.claim(told(jobs[0], 3)).await?, Claimed::NothingToDo);

    assert_eq!(ledger.batch(jobs[0].batch).await?, cancelled);
    Ok(())
}

/// A retry over HTTP made another job of it; the old one in the queue is of the past.
/// The history of its batch is being removed, and its row is still there.
pub async fn a_job_of_a_history_that_leaves_is_not_revived(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    for job in &jobs {
        fail_after_two(&ledger, *job).await?;
    }
    ledger.closed(batch, 0).await?;
    let left = ledger.prune_history(Duration::ZERO, 1).await?;
    let before = ledger.batch(batch).await?;

    for job in &jobs {
        assert_eq!(ledger.claim(told(*job, 3)).await?, Claimed::NothingToDo, "{job}");
    }

    assert_eq!((left.jobs, before.history_removed), (1, true));
    assert_eq!(ledger.batch(batch).await?, before);
    Ok(())
}

pub async fn a_job_that_was_recreated_is_not_revived(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    ledger.closed(job.batch, 0).await?;
    ledger.retry(job.batch).await?;
    let again = JobId { generation: 1, ..job };
    fail_after_two(&ledger, again).await?;
    let closed = ledger.closed(job.batch, 1).await?;

    assert_eq!(ledger.claim(told(job, 3)).await?, Claimed::NothingToDo);

    assert_eq!(ledger.batch(job.batch).await?, closed);
    assert_eq!(ledger.work(told(again, 3)).await?.claim.job, again);
    Ok(())
}

/// The last one had ended, and nobody had closed the batch yet.
pub async fn a_revived_job_keeps_its_batch_from_being_closed(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    assert_eq!(fail_after_two(&ledger, job).await?, DONE);
    assert_eq!(ledger.at_end_of(job.batch).await?, end_of(job.batch, 0));

    let revived = ledger.work(told(job, 3)).await?;

    assert_eq!(ledger.end_task(job.batch).await?, None);
    assert!(ledger.closed(job.batch, 0).await.is_err());
    ledger.insert_chunk(&revived.claim, chunk(0..100)).await?;
    let finished = ledger.finish_attempt(&revived.claim, AttemptResult::Completed, WORKED).await?;
    assert_eq!((finished, ledger.at_end_of(job.batch).await?), (DONE, end_of(job.batch, 0)));
    assert_eq!(ledger.closed(job.batch, 0).await?.status, BatchStatus::Completed);
    Ok(())
}

/// As after a manual retry.
pub async fn both_ends_of_a_revived_batch_are_told(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    fail_after_two(&ledger, job).await?;
    ledger.closed(job.batch, 0).await?;
    let revived = ledger.work(told(job, 3)).await?;
    ledger.insert_chunk(&revived.claim, chunk(0..100)).await?;
    ledger.finish_attempt(&revived.claim, AttemptResult::Completed, WORKED).await?;
    ledger.closed(job.batch, 1).await?;

    let told: Vec<_> = ledger.events_of(job.batch).await?;

    let kinds: Vec<_> = told
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

/// Two workers at once, as when the button is pressed twice.
pub async fn a_job_is_revived_once(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;

    for _ in 0..20 {
        let job = ledger.one_job().await?;
        fail_after_two(&ledger, job).await?;
        ledger.closed(job.batch, 0).await?;
        let begins = [ledger.share(), ledger.share()]
            .map(|ledger| tokio::spawn(async move { ledger.claim(told(job, 3)).await }));
        for claimed in begins {
            assert!(matches!(claimed.await??, Claimed::Work(_)));
        }
        let batch = ledger.batch(job.batch).await?;
        assert_eq!((batch.status, batch.jobs), (BatchStatus::Running, JobCounts { active: 1, ..JobCounts::default() }));
        ledger.complete(job).await?;
        assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    }
    Ok(())
}

pub async fn an_order_works_a_job_that_waits(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.failed_batch().await?;
    ledger.retry(job.batch).await?;

    let work = ledger.work(order(job)).await?;

    assert_eq!((work.claim.job, work.range), (JobId { generation: 1, ..job }, 0..100));
    ledger.insert_chunk(&work.claim, chunk(0..100)).await?;
    let finished = ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?;
    assert_eq!((finished, ledger.at_end_of(job.batch).await?), (DONE, end_of(job.batch, 1)));
    assert_eq!(ledger.claim(order(job)).await?, Claimed::NothingToDo);
    bystander.stands_still(&ledger).await
}

/// Neither fenced, nor hurried.
pub async fn an_order_leaves_a_job_alone_that_others_care_for(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let held = ledger.claim_job(jobs[0]).await?;
    ledger.end(jobs[1], delayed(because("later"), Duration::from_secs(3_600))).await?;

    for job in &jobs {
        assert_eq!(ledger.claim(order(*job)).await?, Claimed::Busy);
    }

    assert_eq!(ledger.insert_chunk(&held, chunk(0..100)).await?, ChunkInserted::New(100));
    Ok(())
}

/// However many orders there are, the job is not taken to have lost its worker.
pub async fn overtaking_an_order_is_no_crash(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;

    for _ in 0..5 {
        let ordered = ledger.work(order(job)).await?;
        let own = ledger.work(job).await?;
        assert_eq!(ledger.insert_chunk(&ordered.claim, chunk(0..1)).await?, ChunkInserted::Fenced);
        ledger.finish_attempt(&own.claim, AttemptResult::Released, WORKED).await?;
    }

    ledger.lose(job).await?;
    ledger.lose(job).await?;
    ledger.lose(job).await?;
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    Ok(())
}

/// An order says nothing of what the queue was told of the job itself.
pub async fn an_order_revives_nothing(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    let ordered = ledger.work(order(job)).await?;
    ledger.finish_attempt(&ordered.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let closed = ledger.closed(job.batch, 0).await?;

    for delivery in [order(job), told(job, 0), told(job, 7)] {
        assert_eq!(ledger.claim(delivery).await?, Claimed::Failed("no ink".into()), "{delivery:?}");
    }

    assert_eq!(ledger.batch(job.batch).await?, closed);
    Ok(())
}

pub async fn what_can_not_be_worked_can_not_be_ordered(support: impl Harness) -> TestResult {
    let ledger = support.ledger().await;
    let job = ledger.one_job().await?;
    let unknown =
        [Delivery::External { batch: id(4_711), seq: 0 }, Delivery::External { batch: job.batch, seq: u64::MAX }];

    for delivery in unknown {
        assert_eq!(ledger.claim(delivery).await?, Claimed::Unknown, "{delivery}");
    }
    ledger.control(job.batch, BatchCommand::Pause).await?;
    assert_eq!(ledger.claim(order(job)).await?, Claimed::Paused);
    ledger.control(job.batch, BatchCommand::Cancel).await?;
    assert_eq!(ledger.claim(order(job)).await?, Claimed::NothingToDo);
    Ok(())
}
