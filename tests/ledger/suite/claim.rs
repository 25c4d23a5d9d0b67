//! claim: who may work a job.

#![expect(clippy::single_range_in_vec_init, reason = "missing items are a list of ranges, often of one")]

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, HookEvent, JobId},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, Finished},
};

use crate::subject::*;

pub async fn the_first_claim_sets_the_batch_running(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().with_prefix("QR")).await?;

    let work = ledger.work(jobs[1]).await?;
    let started = ledger.batch(jobs[0].batch).await?;
    ledger.lose(jobs[0]).await?;
    let later = ledger.batch(jobs[0].batch).await?;

    assert_eq!((work.claim.job, work.claim.epoch, work.range), (jobs[1], 1, 100..200));
    assert_eq!((work.attempts_made, work.prefix.as_deref(), work.key_fingerprint.as_str()), (0, Some("QR"), "f00d"));
    assert_eq!((started.status, started.jobs.active, started.jobs.waiting), (BatchStatus::Running, 1, 1));
    assert!(is_recent(started.started_at));
    assert_eq!((later.started_at, later.jobs.active), (started.started_at, 2));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_claim_returns_the_missing_items(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let neighbour = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&neighbour, chunk(0..100)).await?;

    let first = ledger.work(jobs[1]).await?;
    ledger.insert_chunk(&first.claim, chunk(100..110)).await?;
    ledger.insert_chunk(&first.claim, chunk(150..160)).await?;
    let second = ledger.work(jobs[1]).await?;
    ledger.insert_chunk(&second.claim, chunk(110..150)).await?;
    ledger.insert_chunk(&second.claim, chunk(160..200)).await?;
    let third = ledger.work(jobs[1]).await?;

    assert_eq!(first.missing, [100..200]);
    assert_eq!(second.missing, [110..150, 160..200]);
    assert_eq!(third.missing, []);
    Ok(())
}

pub async fn a_finished_job_is_not_claimed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.fail(jobs[2]).await?;
    ledger.retry(jobs[0].batch).await?;
    ledger.fail(JobId { generation: 1, ..jobs[2] }).await?;
    let cancelled = ledger.one_job().await?;
    ledger.control(cancelled.batch, BatchCommand::Cancel).await?;

    let recreated = jobs[1];
    for finished in [jobs[0], recreated, jobs[2], cancelled] {
        assert_eq!(ledger.claim(finished).await?, Claimed::NothingToDo, "{finished}");
    }
    let again = JobId { generation: 1, ..jobs[2] };
    assert_eq!(ledger.claim(again).await?, Claimed::Failed("no ink".into()));
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_nonexistent_job_is_unknown(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    for unknown in [
        JobId { batch: id(4_711), ..job },
        JobId { seq: 1, ..job },
        JobId { seq: u64::MAX, ..job },
        JobId { generation: 1, ..job },
    ] {
        assert_eq!(ledger.claim(unknown).await?, Claimed::Unknown, "{unknown}");
    }
    assert_eq!(ledger.batch(job.batch).await?.status, BatchStatus::Pending);
    Ok(())
}

pub async fn a_job_of_a_paused_batch_is_not_claimed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.control(job.batch, BatchCommand::Pause).await?;

    assert_eq!(ledger.claim(job).await?, Claimed::Paused);

    ledger.control(job.batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.claim_job(job).await?.epoch, 1);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_delayed_job_can_be_claimed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    ledger.end(job, delayed(because("later"), Duration::from_secs(3_600))).await?;

    let work = ledger.work(job).await?;

    assert_eq!((work.claim.epoch, work.attempts_made), (2, 1));
    assert!(ledger.open_job(job).await?.is_some());
    Ok(())
}

pub async fn a_lost_worker_counts_as_a_crash_until_a_new_item_exists(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    for ordinal in 0..10 {
        ledger.lose(job).await?;
        let claim = ledger.claim_job(job).await?;
        ledger.insert_chunk(&claim, chunk(ordinal..ordinal + 1)).await?;
    }
    ledger.lose(job).await?;
    let claim = ledger.claim_job(job).await?;
    let nothing_new = ledger.insert_chunk(&claim, chunk(0..10)).await?;

    assert_eq!(nothing_new, ChunkInserted::New(0));
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));
    Ok(())
}

pub async fn a_job_that_loses_its_worker_too_often_fails(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.complete(jobs[0]).await?;
    for _ in 0..3 {
        ledger.lose(jobs[1]).await?;
    }

    let poisoned = ledger.claim(jobs[1]).await?;

    let why = "lost its worker 3 times without a new item";
    assert_eq!(poisoned, Claimed::Poisoned(because(why)));
    assert_eq!(ledger.tasks_to_close(jobs[0].batch).await?, close_of(jobs[0].batch, 0));
    assert_eq!(ledger.claim(jobs[1]).await?, Claimed::Failed(why.into()));
    let failed = ledger.failed_jobs(jobs[0].batch, ALL).await?;
    assert_eq!((failed[0].seq, failed[0].crashes, failed[0].attempts, failed[0].error.as_str()), (1, 3, 0, why));
    assert!(
        ledger.events_of(jobs[0].batch).await?.iter().any(
            |event| matches!(event, HookEvent::JobFailed(job) if job.seq == 1 && job.error.as_deref() == Some(why))
        )
    );
    bystander.assert_unchanged(&ledger).await
}

/// The worker was suspended while its job failed, and then records the same result.
pub async fn the_lost_worker_of_a_failed_job_records_nothing(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    ledger.lose(job).await?;
    ledger.lose(job).await?;
    let sleeper = ledger.claim_job(job).await?;
    assert!(matches!(ledger.claim(job).await?, Claimed::Poisoned(..)));

    assert_eq!(
        ledger.finish_attempt(&sleeper, AttemptResult::Failed(because("mine")), WORKED).await?,
        Finished::Fenced
    );
    assert_eq!(ledger.insert_chunk(&sleeper, chunk(0..1)).await?, ChunkInserted::Fenced);
    Ok(())
}

pub async fn a_released_job_did_not_crash(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    for _ in 0..10 {
        ledger.end(job, AttemptResult::Released).await?;
    }

    let work = ledger.work(job).await?;
    assert_eq!((work.claim.epoch, work.attempts_made), (11, 0));
    Ok(())
}
