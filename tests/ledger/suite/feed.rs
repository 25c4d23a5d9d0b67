//! `open_jobs`, `open_tasks`: the jobs and tasks for the feeder.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use rocket_batch::{
    domain::{QueueCapacity, StatusTask},
    ledger::{AttemptResult, BatchCommand, HookKinds, JobQuery, OpenJobs, Rules},
};

use crate::subject::*;

pub async fn open_jobs_shares_the_capacity_between_batches(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let large = ledger.jobs_of(a_batch().of(1_000)).await?[0].batch;
    let small = ledger.jobs_of(a_batch().of(200)).await?[0].batch;
    let fed = async |per_batch, total| -> TestResult<_> {
        let work = ledger.open_jobs(first_jobs(64, QueueCapacity { per_batch, total })).await?;
        let of = |batch| work.jobs.iter().filter(|open| open.job.batch == batch).count();
        Ok((of(large), of(small), work.has_more))
    };

    assert_eq!(fed(100, 100).await?, (10, 2, false));
    assert_eq!(fed(10, 20).await?, (10, 2, false));
    assert_eq!(fed(4, 100).await?, (4, 2, true));
    assert_eq!(fed(100, 8).await?, (4, 2, true));
    assert_eq!(fed(100, 1).await?, (1, 0, true));
    Ok(())
}

/// Half of them are the oldest, half have the fewest open jobs. A batch with only delayed jobs is
/// not fed.
pub async fn a_window_has_the_oldest_and_the_smallest_batches(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let resting = ledger.one_job().await?;
    ledger.end(resting, delayed(because("later"), Duration::from_secs(60))).await?;
    let mut batches = Vec::new();
    for quantity in [90_000, 80_000, 70_000, 60_000, 500, 400, 100_000] {
        batches.push(ledger.jobs_of(a_batch().of(quantity)).await?[0].batch);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    let found = ledger.open_jobs(first_jobs(4, QueueCapacity { per_batch: 1_000, total: 8 })).await?;

    let expected: HashSet<_> = [0, 5, 1, 4].map(|at| batches[at]).into();
    assert_eq!(found.window.iter().copied().collect::<HashSet<_>>(), expected);
    assert!(found.has_more);
    let jobs: HashSet<_> = found.jobs.iter().map(|open| (open.job.batch, open.job.seq)).collect();
    assert_eq!(jobs, expected.into_iter().flat_map(|batch| [(batch, 0), (batch, 1)]).collect());
    Ok(())
}

pub async fn a_batch_is_small_if_few_jobs_are_left(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut batches = Vec::new();
    for quantity in [90_000, 70_000, 80_000, 60_000] {
        batches.push(ledger.jobs_of(a_batch().of(quantity)).await?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for job in &batches[2][..799] {
        ledger.end(*job, AttemptResult::Failed(because("no ink"))).await?;
    }
    ledger.summarized(7, batches[2][0].batch).await?;

    let found = ledger.open_jobs(first_jobs(2, UNBOUNDED)).await?;

    let window: HashSet<_> = found.window.into_iter().collect();
    assert_eq!(window, [0, 2].map(|at: usize| batches[at][0].batch).into());
    Ok(())
}

pub async fn tiny_batches_widen_the_window(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    for _ in 0..20 {
        ledger.one_job().await?;
    }

    let found = ledger.open_jobs(first_jobs(4, UNBOUNDED)).await?;

    assert_eq!((found.window.len(), found.jobs.len(), found.has_more), (20, 20, false));
    Ok(())
}

pub async fn a_full_window_leaves_out_other_candidates(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    // 64 of them have 448 jobs, which is not enough; 72 have 504.
    for _ in 0..80 {
        ledger.jobs_of(a_batch().of(700)).await?;
    }

    let found = ledger.open_jobs(first_jobs(64, UNBOUNDED)).await?;

    assert_eq!((found.window.len(), found.has_more), (72, true));
    Ok(())
}

pub async fn offered_jobs_are_not_returned_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [fed, new] = [ledger.jobs_of(a_batch().of(1_000)).await?, ledger.jobs_of(a_batch().of(1_000)).await?];
    for job in &fed[..2] {
        ledger.complete(*job).await?;
    }
    let room = QueueCapacity { per_batch: 4, total: 100 };
    let offered_to = HashMap::from([(fed[0].batch, 4)]);
    let read = async |refill, free| -> TestResult<_> {
        let query = JobQuery { offered_to: offered_to.clone(), refill, free, ..first_jobs(64, room) };
        let found = ledger.open_jobs(query).await?;
        let of = |batch| found.jobs.iter().filter(move |open| open.job.batch == batch).map(|open| open.job.seq);
        Ok((of(fed[0].batch).collect::<Vec<_>>(), of(new[0].batch).collect::<Vec<_>>()))
    };

    assert_eq!(read(false, 100).await?, (vec![], vec![0, 1, 2, 3]), "only new batches were requested");
    // Two of the four offered jobs are done, so two more fit.
    assert_eq!(read(true, 100).await?, (vec![4, 5], vec![0, 1, 2, 3]));
    assert_eq!(read(true, 1).await?.0.len() + read(true, 1).await?.1.len(), 1, "the queue is full");
    Ok(())
}

pub async fn open_jobs_are_ranked_from_the_first_open_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let _bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(600)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.complete(jobs[1]).await?;
    ledger.fail(jobs[3]).await?;

    let open = ledger.open_jobs_of(jobs[0].batch).await?;

    let ranks: Vec<_> = open.iter().map(|open| (open.job.seq, open.rank)).collect();
    assert_eq!(ranks, [(2, 0), (4, 2), (5, 3)]);
    Ok(())
}

pub async fn a_delayed_job_is_returned_when_it_is_due(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    ledger.end(jobs[1], delayed(because("later"), Duration::from_secs(3_600))).await?;
    ledger.end(jobs[2], delayed(because("soon"), Duration::from_millis(300))).await?;

    let early = ledger.every_open_job().await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let due = ledger.every_open_job().await?;

    let seqs = |found: &OpenJobs| found.jobs.iter().map(|open| open.job.seq).collect::<Vec<_>>();
    assert_eq!((seqs(&early), seqs(&due)), (vec![0], vec![0, 2]));
    let next = |found: OpenJobs| found.next_due.expect("a job is delayed");
    assert!(next(early) <= Duration::from_millis(300));
    let hour = Duration::from_secs(3_540)..=Duration::from_secs(3_600);
    assert!(hour.contains(&next(due)));
    Ok(())
}

/// For example after an outage. The next query follows soon, and returns others once these are
/// claimed.
pub async fn due_jobs_are_returned_up_to_a_limit(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(510).in_jobs_of(1)).await?;
    for job in &jobs {
        ledger.end(*job, delayed(because("later"), Duration::ZERO)).await?;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;

    let first = ledger.open_jobs(first_jobs(64, UNBOUNDED)).await?;
    for open in &first.due[..20] {
        ledger.lose(open.job).await?;
    }
    let second = ledger.open_jobs(first_jobs(64, UNBOUNDED)).await?;

    assert_eq!((first.due.len(), first.next_due), (500, Some(Duration::ZERO)));
    assert_eq!((second.due.len(), second.next_due), (490, None));
    Ok(())
}

/// The clock was wrong when the job was delayed.
pub async fn no_job_waits_longer_than_the_longest_backoff(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let year = Duration::from_secs(365 * 24 * 3_600);
    ledger.end(jobs[1], delayed(because("no ink"), year)).await?;
    let max_backoff = Duration::from_millis(200);
    let read = async || ledger.open_jobs(JobQuery { max_backoff, ..first_jobs(64, UNBOUNDED) }).await;

    let early = read().await?;
    tokio::time::sleep(max_backoff * 2).await;
    let due = read().await?;

    assert!(early.next_due.is_some_and(|due| due <= max_backoff), "{early:?}");
    assert!(early.due.is_empty());
    assert!(due.due.iter().any(|open| open.job == jobs[1] && open.attempts_made == 1), "{due:?}");
    Ok(())
}

pub async fn open_tasks_includes_batches_to_close(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger_with(Rules { hooks: HookKinds::default(), ..RULES }).await;
    let [job, open] = [ledger.one_job().await?, ledger.one_job().await?];
    ledger.fail(job).await?;
    ledger.lose(open).await?;

    let work = ledger.open_tasks(EVERY_TASK).await?;

    assert_eq!(work.status, [(StatusTask::Close { batch: job.batch, round: 0 }, Duration::ZERO)]);
    assert!(!work.has_more);
    Ok(())
}

pub async fn open_jobs_ignores_a_paused_batch(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;

    ledger.control(job.batch, BatchCommand::Pause).await?;
    let paused = ledger.every_open_job().await?;
    ledger.control(job.batch, BatchCommand::Resume).await?;
    let resumed = ledger.every_open_job().await?;

    assert_eq!((paused.jobs.len(), paused.has_more), (0, false));
    assert_eq!(resumed.jobs.len(), 1);
    Ok(())
}
