//! batch, batches, items, jobs, `failed_jobs`: reads.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, JobId, JobState},
    ledger::{AttemptResult, BatchCommand, LedgerError, PageRequest},
};

use crate::subject::*;

pub async fn counts_sum_to_the_jobs_in_every_state(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for status in BatchStatus::ALL {
        let batch = ledger.batch_with_status(status).await?;
        assert_eq!(ledger.batch(batch).await?.jobs.total(), 1, "{status}");
    }
    let listed = ledger.batches(None, ALL).await?;
    assert_eq!(listed.len(), 6);
    assert!(listed.iter().all(|batch| batch.jobs.total() == 1));
    Ok(())
}

pub async fn batches_are_listed_newest_first_in_pages_and_by_status(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    for number in 1..=5 {
        ledger.create(a_batch().with_id(number).build()).await?;
    }
    for number in [2, 4, 5] {
        ledger.control(id(number), BatchCommand::Cancel).await?;
    }
    let listed = async |status, page| -> TestResult<Vec<i64>> {
        Ok(ledger.batches(status, page).await?.iter().map(|batch| batch.batch_id.get()).collect())
    };

    assert_eq!(listed(None, page(None, 3)).await?, [5, 4, 3]);
    assert_eq!(listed(None, page(Some(3), 3)).await?, [2, 1]);
    assert_eq!(listed(Some(BatchStatus::Cancelled), page(None, 2)).await?, [5, 4]);
    assert_eq!(listed(Some(BatchStatus::Cancelled), page(Some(4), 2)).await?, [2]);
    assert_eq!(listed(Some(BatchStatus::Pending), ALL).await?, [3, 1]);
    assert!(listed(Some(BatchStatus::Failed), ALL).await?.is_empty());
    assert_eq!(ledger.batches(None, page(None, 1)).await?[0], ledger.batch(id(5)).await?);
    Ok(())
}

pub async fn items_are_listed_in_pages(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let _bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let found = ledger.items(job.batch, page(after, 30)).await?;
        let Some(last) = found.last() else { break };
        after = Some(last.ordinal);
        seen.extend(found.into_iter().map(|item| item.ordinal));
    }

    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(ledger.items(job.batch, page(Some(u64::MAX), 30)).await?, []);
    Ok(())
}

pub async fn an_item_is_found_by_the_ordinal_before_it(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.completed_batch().await?;
    let after = async |key| {
        let found = ledger.items(job.batch, page(key, 1)).await?;
        Ok::<_, LedgerError>(found.into_iter().map(|item| item.code).collect::<Vec<_>>())
    };

    assert_eq!(after(None).await?, ["code-0"]);
    assert_eq!(after(Some(98)).await?, ["code-99"]);
    assert!(after(Some(99)).await?.is_empty());
    assert!(after(Some(u64::MAX)).await?.is_empty());
    Ok(())
}

pub async fn failed_jobs_are_listed_in_pages_with_their_failed_chunks(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let _bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(450)).await?;
    ledger.complete(jobs[1]).await?;
    let failure = failed_chunk(420..430, "a bad code");
    for job in [jobs[0], jobs[2], jobs[4]] {
        let first = job.seq * 100;
        let claim = ledger.claim_job(job).await?;
        ledger.insert_chunk(&claim, chunk(first..first + 20)).await?;
        ledger.finish_attempt(&claim, AttemptResult::Failed(failure.clone()), WORKED).await?;
    }

    let seqs = async |page| -> TestResult<Vec<u64>> {
        Ok(ledger.failed_jobs(jobs[0].batch, page).await?.iter().map(|job| job.seq).collect())
    };
    let last = ledger.failed_jobs(jobs[0].batch, page(Some(3), 10)).await?.remove(0);

    assert_eq!(seqs(page(None, 2)).await?, [0, 2]);
    assert_eq!(seqs(page(Some(2), 2)).await?, [4]);
    assert_eq!((last.job_id.as_str(), last.first, last.last), (jobs[4].to_string().as_str(), 400, 449));
    assert_eq!((last.items_created, last.attempts, last.crashes), (20, 1, 0));
    assert_eq!((last.error, last.failed_chunks), (failure.reason, failure.chunks.ranges));
    assert_eq!((last.more_failed_chunks, last.more_items), (0, 0));
    assert!(is_recent(last.started_at) && is_recent(last.finished_at));
    Ok(())
}

/// Fails a job with the largest error that is stored: each chunk has a long error of its own.
async fn job_with_the_largest_error(ledger: &Subject, job: JobId) -> TestResult {
    let first = job.seq * 100;
    let reason = |at| format!("{at} {}", "is too long. ".repeat(100));
    let chunks = (first..first + 100).map(|at| (at..at + 1, reason(at)));
    ledger.end(job, AttemptResult::Failed(failed_chunks(chunks))).await.map(drop)
}

pub async fn lists_the_first_failed_chunks_and_counts_the_others(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;

    job_with_the_largest_error(&ledger, job).await?;

    let failed = ledger.failed_jobs(job.batch, ALL).await?.remove(0);
    assert_eq!(failed.failed_chunks.iter().map(|chunk| chunk.from).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(failed.failed_chunks.iter().all(|chunk| chunk.error.len() == 1024));
    assert_eq!((failed.more_failed_chunks, failed.more_items), (80, 80));
    assert!(failed.error.starts_with("100 items could not be written: 0 is too long"), "{}", failed.error);
    bystander.assert_unchanged(&ledger).await
}

/// Regression: a page of 300 such jobs was 64 MB.
pub async fn failed_jobs_are_listed_up_to_the_size_of_a_page(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(12_000)).await?;
    for job in &jobs {
        job_with_the_largest_error(&ledger, *job).await?;
    }

    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    let mut more = true;
    while more {
        let portion = ledger.share().failed_jobs(jobs[0].batch, page(seen.last().copied(), 1_000)).await?;
        sizes.push(serde_json::to_vec(&portion.rows)?.len());
        seen.extend(portion.rows.iter().map(|job| job.seq));
        more = portion.truncated;
    }

    assert_eq!(seen, (0..120).collect::<Vec<_>>());
    assert!(sizes.iter().all(|size| *size <= PageRequest::MAX_BYTES), "{sizes:?}");
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size > PageRequest::MAX_BYTES * 9 / 10), "{sizes:?}");
    let few = ledger.share().failed_jobs(jobs[0].batch, page(None, 10)).await?;
    assert_eq!((few.rows.len(), few.truncated), (10, false));
    bystander.assert_unchanged(&ledger).await
}

pub async fn jobs_are_listed_in_pages_and_by_state(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(450)).await?;
    let batch = jobs[0].batch;
    ledger.complete(jobs[1]).await?;
    let claim = ledger.claim_job(jobs[4]).await?;
    ledger.insert_chunk(&claim, chunk(400..420)).await?;
    let failure = failed_chunk(420..430, "a bad code");
    let delay = Duration::from_secs(3_600);
    ledger.finish_attempt(&claim, AttemptResult::Delayed { failure: failure.clone(), delay }, WORKED).await?;
    ledger.end(jobs[3], AttemptResult::Failed(failure.clone())).await?;

    let seqs = async |state, slice| -> TestResult<Vec<u64>> {
        let portion = ledger.share().jobs(batch, state, slice).await?;
        assert_eq!((portion.truncated, portion.looked_to), (false, None));
        Ok(portion.rows.iter().map(|job| job.seq).collect())
    };
    let mut all = ledger.share().jobs(batch, None, ALL).await?.rows;
    let (delayed, failed, waiting) = (all.remove(4), all.remove(3), all.remove(0));

    assert_eq!(seqs(None, page(None, 2)).await?, [0, 1]);
    assert_eq!(seqs(None, page(Some(1), 1_000)).await?, [2, 3, 4]);
    assert_eq!(seqs(None, page(Some(4), 2)).await?, [0_u64; 0]);
    for (state, expected) in [
        (JobState::Waiting, vec![0, 2]),
        (JobState::Active, vec![]),
        (JobState::Delayed, vec![4]),
        (JobState::Completed, vec![1]),
        (JobState::Failed, vec![3]),
        (JobState::Cancelled, vec![]),
    ] {
        assert_eq!(seqs(Some(state), ALL).await?, expected, "{state}");
    }
    assert_eq!(seqs(Some(JobState::Waiting), page(Some(0), 1)).await?, [2]);
    assert_eq!((waiting.state, waiting.attempts, waiting.error), (JobState::Waiting, 0, None));
    assert_eq!((waiting.started_at, waiting.finished_at, waiting.not_before), (None, None, None));
    assert_eq!((delayed.job_id.as_str(), delayed.state), (jobs[4].to_string().as_str(), JobState::Delayed));
    assert_eq!((delayed.first, delayed.last, delayed.quantity, delayed.items_created), (400, 449, 50, 20));
    assert_eq!((delayed.attempts, delayed.crashes, delayed.error.as_ref()), (1, 0, Some(&failure.reason)));
    let until = delayed.not_before.ok_or("it is delayed")? - chrono::Utc::now();
    assert!((3_500..=3_600).contains(&until.num_seconds()), "{until}");
    assert!(is_recent(delayed.started_at) && delayed.finished_at.is_none());
    assert_eq!((failed.state, failed.error), (JobState::Failed, Some(failure.reason)));
    assert!(is_recent(failed.finished_at) && failed.not_before.is_none());
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_page_of_jobs_in_one_state_looks_at_a_bounded_number(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(45_000).in_jobs_of(1)).await?;
    ledger.complete(jobs[44_999]).await?;

    let (mut seen, mut looked_to, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let portion = ledger.share().jobs(jobs[0].batch, Some(JobState::Completed), page(after, 10)).await?;
        seen.extend(portion.rows.iter().map(|job| job.seq));
        let Some(last) = portion.looked_to else { break };
        looked_to.push(last);
        after = Some(last);
    }

    assert_eq!((seen, looked_to), (vec![44_999], vec![19_999, 39_999]));
    let full = ledger.share().jobs(jobs[0].batch, Some(JobState::Waiting), page(None, 10)).await?;
    assert_eq!((full.rows.len(), full.looked_to), (10, None));
    bystander.assert_unchanged(&ledger).await
}

pub async fn jobs_are_listed_up_to_the_size_of_a_page(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(90_000)).await?;
    for job in &jobs {
        job_with_the_largest_error(&ledger, *job).await?;
    }

    let portion = ledger.share().jobs(jobs[0].batch, None, page(None, 1_000)).await?;
    let last = portion.rows.last().ok_or("it has rows")?.seq;
    let rest = ledger.share().jobs(jobs[0].batch, None, page(Some(last), 1_000)).await?;

    let size = serde_json::to_vec(&portion.rows)?.len();
    assert!(portion.truncated && size <= PageRequest::MAX_BYTES && size > PageRequest::MAX_BYTES * 9 / 10, "{size}");
    assert_eq!(portion.rows.len() + rest.rows.len(), 900);
    Ok(())
}

pub async fn lists_of_an_unknown_batch_are_rejected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    assert!(matches!(ledger.items(id(9), ALL).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.failed_jobs(id(9), ALL).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.share().jobs(id(9), None, ALL).await, Err(LedgerError::NoSuchBatch(_))));
    Ok(())
}
