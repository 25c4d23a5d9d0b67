//! retry: failed jobs run again.

#![expect(clippy::single_range_in_vec_init, reason = "missing items are a list of ranges, often of one")]

use rocket_batch::{
    domain::{BatchStatus, Caller, ErrorGroup, JobCounts, JobId, RetryOptions, StatusTask},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, LedgerError},
};

use crate::subject::*;

pub async fn a_retry_recreates_the_failed_jobs_and_no_other(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    let half = ledger.claim_job(jobs[1]).await?;
    ledger.insert_chunk(&half, chunk(100..150)).await?;
    ledger.finish_attempt(&half, AttemptResult::Failed(failed_chunk(150..200, "bad")), WORKED).await?;
    ledger.fail(jobs[3]).await?;

    let report = ledger.retry(jobs[0].batch).await?;

    let batch = jobs[0].batch;
    let again = [1, 3].map(|seq| JobId { batch, seq, generation: 1 });
    assert_eq!((report.found, report.recreated, report.status), (2, 2, BatchStatus::Running));
    assert_eq!(report.job_ids, again.map(|job| job.to_string()));
    assert_eq!(report.skipped, []);
    assert_eq!(ledger.failed_jobs(batch, ALL).await?, []);
    assert_eq!(ledger.batch(batch).await?.jobs, JobCounts { waiting: 3, completed: 1, ..JobCounts::default() });
    let work = ledger.work(again[0]).await?;
    assert_eq!((work.attempts_made, work.missing), (0, vec![150..200]));
    assert_eq!(ledger.insert_chunk(&half, chunk(150..200)).await?, ChunkInserted::Fenced);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_retried_batch_runs_and_finishes_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.failed_batch().await?;

    ledger.retry(job.batch).await?;
    let running = ledger.batch(job.batch).await?;
    let finished = ledger.complete(JobId { generation: 1, ..job }).await?;
    let tasks = ledger.tasks_to_close(job.batch).await?;
    let closed = ledger.closed(job.batch, 1).await?;

    assert_eq!((running.status, running.round, running.error), (BatchStatus::Running, 1, None));
    assert_eq!((running.finished_at, running.jobs.total()), (None, 1));
    assert_eq!((finished, tasks), (RECORDED, close_of(job.batch, 1)));
    assert_eq!((closed.status, closed.round, closed.items_created), (BatchStatus::Completed, 2, 100));
    bystander.assert_unchanged(&ledger).await
}

/// The worker crashed several times after the last item was inserted and before the job was
/// completed.
pub async fn a_failed_job_whose_items_all_exist_is_completed_by_a_retry(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let other = ledger.failed_batch().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..100)).await?;
    ledger.finish_attempt(&claim, AttemptResult::Failed(because("worker lost before the result")), WORKED).await?;
    ledger.closed(job.batch, 0).await?;

    let report = ledger.retry(job.batch).await?;

    assert_eq!((report.found, report.recreated, report.job_ids), (1, 0, vec![]));
    assert_eq!((report.skipped.len(), report.skipped[0].job_id.as_str()), (1, job.to_string().as_str()));
    assert!(report.skipped[0].reason.contains("all items exist; marked"));
    assert_eq!(ledger.close_task(job.batch).await?, Some(StatusTask::Close { batch: job.batch, round: 1 }));
    assert_eq!(ledger.closed(job.batch, 1).await?.status, BatchStatus::Completed);
    assert_eq!(ledger.failed_jobs(other.batch, ALL).await?.len(), 1);
    bystander.assert_unchanged(&ledger).await
}

pub async fn only_one_of_two_concurrent_retries_finds_jobs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for _ in 0..20 {
        let job = ledger.failed_batch().await?;
        let retries = [ledger.share(), ledger.share()].map(|ledger| {
            tokio::spawn(async move { ledger.retry(job.batch, RetryOptions::default(), &Caller::default()).await })
        });
        let mut found = Vec::new();
        for retry in retries {
            found.push(retry.await??.found);
        }
        found.sort_unstable();
        assert_eq!(found, [0, 1]);
        assert_eq!(ledger.batch(job.batch).await?.jobs, JobCounts { waiting: 1, ..JobCounts::default() });
    }
    Ok(())
}

pub async fn a_retry_leaves_a_paused_batch_paused(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.fail(jobs[0]).await?;
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;

    let report = ledger.retry(jobs[0].batch).await?;

    assert_eq!((report.recreated, report.status), (1, BatchStatus::Paused));
    let again = JobId { generation: 1, ..jobs[0] };
    assert_eq!(ledger.claim(again).await?, Claimed::Paused);
    assert_eq!(ledger.control(again.batch, BatchCommand::Resume).await?.status, BatchStatus::Running);
    assert_eq!(ledger.open_jobs_of(again.batch).await?.len(), 2);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_retry_is_rejected_where_the_status_forbids_it(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for status in [BatchStatus::Pending, BatchStatus::Completed, BatchStatus::Cancelled] {
        let batch = ledger.batch_with_status(status).await?;
        let refused = ledger.retry(batch).await;
        assert!(matches!(refused, Err(LedgerError::NotAllowed(refused)) if refused.status == status));
    }
    Ok(())
}

pub async fn a_retry_without_failed_jobs_changes_nothing(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for status in [BatchStatus::Running, BatchStatus::Paused] {
        let batch = ledger.batch_with_status(status).await?;
        let before = ledger.batch(batch).await?;
        let report = ledger.retry(batch).await?;
        assert_eq!((report.found, report.recreated, report.status), (0, 0, status));
        assert_eq!(ledger.batch(batch).await?, before);
    }
    Ok(())
}

/// Jobs 0, 2 and 4 fail because of ink, 1 and 3 because of paper, and 5 is completed.
async fn jobs_with_two_errors(ledger: &Subject) -> TestResult<Vec<JobId>> {
    let jobs = ledger.jobs_of(a_batch().of(600)).await?;
    for job in &jobs[..5] {
        let reason = if job.seq % 2 == 0 { format!("no ink for {}", job.seq) } else { "no paper".to_owned() };
        ledger.end(*job, AttemptResult::Failed(because(&reason))).await?;
    }
    ledger.complete(jobs[5]).await?;
    Ok(jobs)
}

pub async fn a_retry_recreates_only_the_selected_jobs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = jobs_with_two_errors(&ledger).await?;
    let batch = jobs[0].batch;
    ledger.closed(batch, 0).await?;
    let retry = async |options| ledger.share().retry(batch, options, &Caller::default()).await;
    let failed = async || -> TestResult<Vec<u64>> {
        Ok(ledger.failed_jobs(batch, ALL).await?.iter().map(|job| job.seq).collect())
    };
    let (ink, default) = (Some(ErrorGroup::of("no ink for 7").id), RetryOptions::default);

    let first = retry(RetryOptions { group: ink.clone(), limit: Some(1), ..default() }).await?;
    assert_eq!((first.found, first.recreated, first.status), (3, 1, BatchStatus::Running));
    assert_eq!(failed().await?, [1, 2, 3, 4]);
    let named = retry(RetryOptions { jobs: Some(vec![0, 3, 5, 6]), ..default() }).await?;
    assert_eq!((named.found, named.job_ids), (1, vec![JobId { generation: 1, ..jobs[3] }.to_string()]));
    let skipped: Vec<_> = named.skipped.iter().map(|job| job.reason.as_str()).collect();
    assert_eq!(skipped, ["waiting, not failed", "completed, not failed", "the batch has no such job"]);
    let rest = retry(RetryOptions { group: ink.clone(), ..default() }).await?;
    assert_eq!((rest.found, rest.recreated), (2, 2));
    assert_eq!(failed().await?, [1]);
    let none = retry(RetryOptions { group: ink, ..default() }).await?;
    assert_eq!((none.found, none.recreated, none.status), (0, 0, BatchStatus::Running));

    assert_eq!(
        ledger.batch(batch).await?.jobs,
        JobCounts { waiting: 4, completed: 1, failed: 1, ..JobCounts::default() }
    );
    assert_eq!(ledger.open_jobs_of(batch).await?.len(), 4);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_dry_run_reports_what_a_retry_does_and_changes_nothing(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = jobs_with_two_errors(&ledger).await?;
    let batch = jobs[0].batch;
    ledger.closed(batch, 0).await?;
    let before = (ledger.batch(batch).await?, ledger.failed_jobs(batch, ALL).await?);
    let options = RetryOptions { group: Some(ErrorGroup::of("no paper").id), ..RetryOptions::default() };

    let dry =
        ledger.share().retry(batch, RetryOptions { dry_run: true, ..options.clone() }, &Caller::default()).await?;
    assert_eq!((ledger.batch(batch).await?, ledger.failed_jobs(batch, ALL).await?), before);
    let real = ledger.share().retry(batch, options, &Caller::default()).await?;

    assert!(dry.dry_run && !real.dry_run);
    assert_eq!((dry.found, dry.recreated, dry.job_ids, dry.status), (2, 2, real.job_ids, real.status));
    Ok(())
}
