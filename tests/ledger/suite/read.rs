//! batch, batches, items, jobs, `failed_jobs`: reads.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, ErrorGroup, JobId, JobState},
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
        let portion = ledger.share().failed_jobs(jobs[0].batch, None, page(seen.last().copied(), 1_000)).await?;
        sizes.push(serde_json::to_vec(&portion.rows)?.len());
        seen.extend(portion.rows.iter().map(|job| job.seq));
        more = portion.truncated;
    }

    assert_eq!(seen, (0..120).collect::<Vec<_>>());
    assert!(sizes.iter().all(|size| *size <= PageRequest::MAX_BYTES), "{sizes:?}");
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size > PageRequest::MAX_BYTES * 9 / 10), "{sizes:?}");
    let few = ledger.share().failed_jobs(jobs[0].batch, None, page(None, 10)).await?;
    assert_eq!((few.rows.len(), few.truncated), (10, false));
    bystander.assert_unchanged(&ledger).await
}

pub async fn failed_jobs_are_grouped_by_their_errors(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(750)).await?;
    let batch = jobs[0].batch;
    assert_eq!(ledger.failure_groups(batch, ALL).await?.rows, []);
    ledger.complete(jobs[0]).await?;
    for job in &jobs[1..] {
        let first = job.seq * 100;
        let failure = match job.seq {
            1 => because("no paper"),
            seq => failed_chunk(first + 30..first + 40, &format!("no ink for {seq}")),
        };
        let claim = ledger.claim_job(*job).await?;
        ledger.insert_chunk(&claim, chunk(first..first + 30)).await?;
        ledger.finish_attempt(&claim, AttemptResult::Failed(failure), WORKED).await?;
    }

    let groups = ledger.failure_groups(batch, ALL).await?.rows;
    let [ink, paper] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((ink.title.as_str(), ink.jobs, ink.items_missing), ("no ink for N", 6, 5 * 70 + 20));
    assert_eq!((paper.title.as_str(), paper.jobs, paper.items_missing), ("no paper", 1, 70));
    assert_eq!(ink.example.job_id, jobs[2].to_string());
    assert_eq!(ink.example.error, "10 items could not be written: no ink for 2");
    assert_eq!([&ink.group, &paper.group], [&ErrorGroup::of("no ink for 9").id, &ErrorGroup::of("no paper").id]);
    assert!(is_recent(Some(ink.first_seen)) && ink.first_seen <= ink.last_seen);
    assert_eq!(ledger.failure_groups(batch, page(None, 1)).await?.rows, groups[..1]);
    assert_eq!(ledger.failure_groups(batch, page(Some(1), 1)).await?.rows, groups[1..]);
    assert_eq!(ledger.failure_groups(batch, page(Some(2), 1)).await?.rows, []);
    let of_group = async |group: &str, page| -> TestResult<Vec<u64>> {
        let portion = ledger.share().failed_jobs(batch, Some(group.to_owned()), page).await?;
        Ok(portion.rows.iter().map(|job| job.seq).collect())
    };
    assert_eq!(of_group(&ink.group, page(None, 2)).await?, [2, 3]);
    assert_eq!(of_group(&ink.group, page(Some(5), 9)).await?, [6, 7]);
    assert_eq!(of_group(&paper.group, ALL).await?, [1]);
    assert!(of_group("0123456789abcdef", ALL).await?.is_empty());
    ledger.retry(batch).await?;
    assert_eq!(ledger.failure_groups(batch, ALL).await?.rows, []);
    bystander.assert_unchanged(&ledger).await
}

/// Each job has an error of its own, so each is a group.
pub async fn failure_groups_are_listed_up_to_the_size_of_a_page(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().in_jobs_of(1).of(1_500)).await?;
    for job in &jobs {
        let letters: String = job.seq.to_string().bytes().map(|digit| char::from(digit + 60)).collect();
        let error = format!("{letters} {}", "is too long. ".repeat(100));
        ledger.end(*job, AttemptResult::Failed(because(&error))).await?;
    }

    let (mut groups, mut bytes) = (0, Vec::new());
    loop {
        let portion = ledger.failure_groups(jobs[0].batch, page(Some(groups), 1_001)).await?;
        groups += portion.rows.len() as u64;
        bytes.push(serde_json::to_string(&portion.rows)?.len());
        if !portion.truncated {
            break;
        }
    }

    assert_eq!((groups, bytes.len()), (1_500, 3), "{bytes:?}");
    assert!(bytes.iter().all(|bytes| *bytes <= PageRequest::MAX_BYTES), "{bytes:?}");
    Ok(())
}

pub async fn a_job_map_has_a_cell_for_each_job_or_for_several(harness: impl Harness) -> TestResult {
    use JobState::{Active, Cancelled, Completed, Delayed, Failed, Waiting};

    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(450)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("no ink"), Duration::from_secs(3_600))).await?;
    let _claim = ledger.claim_job(jobs[3]).await?;
    let map = ledger.job_map(jobs[0].batch).await?;
    assert_eq!((map.jobs, map.jobs_per_cell), (5, 1));
    assert_eq!(map.cells, [Completed, Failed, Delayed, Active, Waiting]);
    ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(ledger.job_map(jobs[0].batch).await?.cells, [Completed, Failed, Cancelled, Cancelled, Cancelled]);

    // 2,001 jobs are 667 cells of 3 jobs.
    let many = ledger.jobs_of(a_batch().in_jobs_of(1).of(2_001)).await?;
    ledger.complete(many[0]).await?;
    ledger.end(many[4], delayed(because("no ink"), Duration::from_secs(3_600))).await?;
    ledger.fail(many[2_000]).await?;
    let map = ledger.job_map(many[0].batch).await?;
    assert_eq!((map.jobs, map.jobs_per_cell, map.cells.len()), (2_001, 3, 667));
    assert_eq!((map.cells[0], map.cells[1], map.cells[2], map.cells[666]), (Waiting, Delayed, Waiting, Failed));
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
    assert!(matches!(ledger.failure_groups(id(9), ALL).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.job_map(id(9)).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.share().jobs(id(9), None, ALL).await, Err(LedgerError::NoSuchBatch(_))));
    Ok(())
}
