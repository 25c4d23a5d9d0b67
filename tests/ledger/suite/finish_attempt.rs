//! `finish_attempt`, `batches_to_close`: the results of attempts.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, JobCounts, Measured},
    ledger::{AttemptResult, BatchCommand, Claimed, Finished},
};

use crate::subject::*;

pub async fn each_result_leaves_the_job_in_its_state(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;

    assert_eq!(ledger.complete(jobs[0]).await?, RECORDED);
    assert_eq!(ledger.fail(jobs[1]).await?, RECORDED);
    assert_eq!(ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?, RECORDED);
    assert_eq!(ledger.end(jobs[3], AttemptResult::Released).await?, RECORDED);
    ledger.lose(jobs[4]).await?;

    let batch = ledger.batch(jobs[0].batch).await?;
    assert_eq!(batch.jobs, JobCounts { waiting: 1, active: 1, delayed: 1, completed: 1, failed: 1, cancelled: 0 });
    assert_eq!(ledger.open_job(jobs[2]).await?, None, "it is not due");
    let failed = ledger.failed_jobs(batch.batch_id, ALL).await?;
    assert_eq!((failed[0].attempts, failed[0].error.as_str()), (1, "no ink"));
    assert!(is_recent(failed[0].finished_at));
    bystander.assert_unchanged(&ledger).await
}

/// The response to a commit may be lost, and the worker then repeats the call.
pub async fn finishing_again_returns_the_same(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let settlements = [
        AttemptResult::Released,
        delayed(because("once"), Duration::ZERO),
        delayed(because("twice"), Duration::ZERO),
        AttemptResult::Failed(because("at last")),
    ];

    for how in settlements {
        let claim = ledger.claim_job(jobs[0]).await?;
        for _ in 0..3 {
            assert_eq!(ledger.finish_attempt(&claim, how.clone(), WORKED).await?, RECORDED);
        }
    }
    let last = ledger.claim_job(jobs[1]).await?;
    ledger.insert_chunk(&last, chunk(100..200)).await?;
    for _ in 0..3 {
        let finished = ledger.finish_attempt(&last, AttemptResult::Completed, WORKED).await?;
        assert_eq!((finished, ledger.tasks_to_close(jobs[1].batch).await?), (RECORDED, close_of(jobs[1].batch, 0)));
    }

    let failed = ledger.failed_jobs(jobs[0].batch, ALL).await?;
    assert_eq!(failed[0].attempts, 3);
    assert_eq!(ledger.batch(jobs[0].batch).await?.measured.worked, WORKED * 5);
    assert_eq!(ledger.events_of(jobs[0].batch).await?.len(), 2);
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_a_result_from_a_superseded_claim(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let slow = ledger.claim_job(job).await?;
    let fast = ledger.claim_job(job).await?;

    for how in [AttemptResult::Completed, AttemptResult::Released, AttemptResult::Failed(because("slow"))] {
        assert_eq!(ledger.finish_attempt(&slow, how, WORKED).await?, Finished::Fenced);
    }

    assert_eq!(ledger.batch(job.batch).await?.jobs.active, 1);
    assert_eq!(ledger.finish_attempt(&fast, AttemptResult::Failed(because("fast")), WORKED).await?, RECORDED);
    // Nor after a retry, which creates a new generation.
    ledger.closed(job.batch, 0).await?;
    ledger.retry(job.batch).await?;
    assert_eq!(ledger.finish_attempt(&fast, AttemptResult::Failed(because("fast")), WORKED).await?, Finished::Fenced);
    bystander.assert_unchanged(&ledger).await
}

/// Each worker calls `batches_to_close` after it has finished its own job. Both may find the batch,
/// and at least one must.
pub async fn at_least_one_of_two_concurrent_last_jobs_finds_the_end(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for _ in 0..30 {
        let jobs = ledger.jobs_of(a_batch()).await?;
        let holds = [ledger.claim_job(jobs[0]).await?, ledger.claim_job(jobs[1]).await?];
        assert_eq!(ledger.tasks_to_close(jobs[0].batch).await?, []);
        let ends = holds.map(|claim| {
            let ledger = ledger.share();
            tokio::spawn(async move {
                assert_eq!(
                    ledger.finish_attempt(&claim, AttemptResult::Failed(because("no")), WORKED).await?,
                    RECORDED
                );
                ledger.batches_to_close(&[claim.job.batch]).await
            })
        });
        let mut found = Vec::new();
        for end in ends {
            found.extend(end.await??);
        }
        assert!((1..=2).contains(&found.len()), "{found:?}");
        assert!(found.iter().all(|task| vec![*task] == close_of(jobs[0].batch, 0)), "{found:?}");
    }
    Ok(())
}

pub async fn only_batches_without_open_jobs_are_at_their_end(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut batches = Vec::new();
    for status in BatchStatus::ALL {
        batches.push(ledger.batch_with_status(status).await?);
    }
    let delayed = ledger.one_job().await?;
    ledger.end(delayed, crate::subject::delayed(because("later"), Duration::from_secs(60))).await?;
    let ended = ledger.jobs_of(a_batch()).await?;
    ledger.fail(ended[0]).await?;
    ledger.complete(ended[1]).await?;
    batches.extend([delayed.batch, ended[0].batch, ledger.requested(a_batch()).await?, id(4_711)]);

    assert_eq!(ledger.batches_to_close(&batches).await?, close_of(ended[0].batch, 0));
    assert_eq!(ledger.batches_to_close(&[]).await?, []);
    Ok(())
}

pub async fn a_released_job_is_as_if_it_had_not_been_claimed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    ledger.end(job, delayed(because("once"), Duration::ZERO)).await?;
    let before = ledger.open_job(job).await?;

    ledger.end(job, AttemptResult::Released).await?;

    assert_eq!(ledger.open_job(job).await?, before);
    assert_eq!(ledger.batch(job.batch).await?.jobs.waiting, 1);
    Ok(())
}

pub async fn a_job_of_a_paused_batch_is_released_without_a_crash(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;

    for _ in 0..5 {
        let claim = ledger.claim_job(job).await?;
        ledger.control(job.batch, BatchCommand::Pause).await?;
        for _ in 0..5 {
            assert_eq!(ledger.claim(job).await?, Claimed::Paused);
        }
        assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await?, RECORDED);
        ledger.control(job.batch, BatchCommand::Resume).await?;
    }

    assert_eq!(ledger.claim_job(job).await?.epoch, 6);
    bystander.assert_unchanged(&ledger).await
}

pub async fn the_time_of_all_attempts_is_added_up(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;

    ledger.end(jobs[0], AttemptResult::Released).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;

    let measured = ledger.batch(jobs[0].batch).await?.measured;
    assert_eq!(measured, Measured { items: 100, worked: WORKED * 3 });
    Ok(())
}
