//! `claim_and_insert`: the first chunk with the claim.

#![expect(clippy::single_range_in_vec_init, reason = "missing items are a list of ranges, often of one")]

use std::{ops::Range, time::Duration};

use rocket_batch::{
    domain::{Delivery, JobId},
    ledger::{AttemptResult, BatchCommand, ChunkInserted, Claimed, FirstChunk, Work},
};

use crate::subject::*;

pub async fn a_first_chunk_is_inserted_with_the_claim(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(300).with_prefix("QR")).await?;
    ledger.lose(jobs[0]).await?;

    let first = FirstChunk { prefix: Some("QR".into()), ..first_chunk(100..200, 100..150) };
    let claimed = ledger.claim_and_insert(jobs[1].into(), first).await?;

    let Claimed::Work(work) = claimed else { return Err(format!("{claimed:?}").into()) };
    let Work { claim, range, missing, inserted, crashed, prefix, key_fingerprint, attempts_made, jobs_in_batch } = work;
    assert_eq!((claim.job, claim.epoch, range, missing, inserted), (jobs[1], 1, 100..200, vec![150..200], 50));
    assert_eq!((prefix.as_deref(), key_fingerprint.as_str(), attempts_made), (Some("QR"), "f00d", 0));
    assert_eq!((jobs_in_batch, crashed), (3, false));
    assert_eq!(ledger.items_of(jobs[0].batch).await?, (100..150).collect::<Vec<_>>());
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, 50);
    assert_eq!(ledger.insert_chunk(&claim, chunk(150..200)).await?, ChunkInserted::New(50));
    assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Completed, WORKED).await?, RECORDED);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_first_chunk_may_be_the_whole_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(250)).await?;
    ledger.lose(jobs[0]).await?;

    let claimed = ledger.claim_and_insert(jobs[2].into(), first_chunk(200..250, 200..250)).await?;

    let Claimed::Work(work) = claimed else { return Err(format!("{claimed:?}").into()) };
    assert_eq!((work.missing, work.inserted, ledger.items_of(jobs[2].batch).await?.len()), (vec![], 50, 50));
    assert_eq!(ledger.finish_attempt(&work.claim, AttemptResult::Completed, WORKED).await?, RECORDED);
    Ok(())
}

/// The job is claimed as usual, and its worker inserts the missing items.
pub async fn a_first_chunk_is_not_inserted_unless_the_job_is_as_expected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let pending = ledger.jobs_of(a_batch()).await?;
    let jobs = ledger.jobs_of(a_batch().of(700)).await?;
    let partly = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&partly, chunk(10..20)).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::ZERO)).await?;
    ledger.lose(jobs[3]).await?;
    let external = Delivery::External { batch: jobs[4].batch, seq: 4 };
    let table = [
        ("no job of the batch was claimed before", pending[0].into(), 0..100, 0..50, vec![0..100]),
        ("some items exist", jobs[0].into(), 0..100, 0..50, vec![0..10, 20..100]),
        ("the delivery has another range", jobs[1].into(), 0..100, 0..50, vec![100..200]),
        ("the job had an earlier attempt", jobs[2].into(), 200..300, 200..250, vec![200..300]),
        ("the worker of the job was lost", jobs[3].into(), 300..400, 300..350, vec![300..400]),
        ("an external job", external, 400..500, 400..450, vec![400..500]),
        ("the chunk does not start with the job's first item", jobs[5].into(), 500..600, 510..550, vec![500..600]),
        ("there is no chunk", jobs[6].into(), 600..700, 600..600, vec![600..700]),
    ];

    for (why, delivery, range, items, missing) in table {
        let claimed = ledger.claim_and_insert(delivery, first_chunk(range, items)).await?;
        // SQLite checks the rows and inserts the chunk if none of it exists; PostgreSQL does not.
        let Claimed::Work(work) = claimed else { return Err(format!("{why}: {claimed:?}").into()) };
        let inserted = if work.missing == missing { 0 } else { 50 };
        assert_eq!(work.inserted, inserted, "{why}");
        let existing = ledger.items_of(work.claim.job.batch).await?;
        let absent: Vec<u64> = work.range.filter(|ordinal| !existing.contains(ordinal)).collect();
        assert_eq!(work.missing.into_iter().flatten().collect::<Vec<_>>(), absent, "{why}");
        if existing.len() == 10 {
            assert_eq!(
                absent,
                missing.into_iter().flatten().filter(|at| !existing.contains(at)).collect::<Vec<_>>(),
                "{why}"
            );
        }
    }
    Ok(())
}

/// After a backup was restored, a batch has the id of another one whose codes a worker has cached.
pub async fn a_first_chunk_made_for_other_codes_is_not_inserted(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300).with_prefix("QR")).await?;
    ledger.lose(jobs[0]).await?;
    let of_the_batch = |range: Range<u64>| {
        let items = range.start..range.start + 50;
        FirstChunk { prefix: Some("QR".into()), ..first_chunk(range, items) }
    };
    let others = [
        (jobs[1], FirstChunk { prefix: None, ..of_the_batch(100..200) }),
        (jobs[2], FirstChunk { key_fingerprint: "beef".into(), ..of_the_batch(200..300) }),
    ];

    for (job, chunk) in others {
        let claimed = ledger.claim_and_insert(job.into(), chunk.clone()).await?;

        let Claimed::Work(work) = claimed else { return Err(format!("{claimed:?}").into()) };
        assert_eq!((work.claim.job, work.missing), (job, vec![chunk.range]));
        assert_eq!((work.prefix.as_deref(), work.key_fingerprint.as_str()), (Some("QR"), "f00d"));
    }
    assert_eq!(ledger.items_of(jobs[0].batch).await?, Vec::<u64>::new());
    Ok(())
}

pub async fn no_first_chunk_is_inserted_into_a_job_that_can_not_be_claimed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(400)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    let claim = async |job: JobId| {
        let first = job.seq * 100;
        ledger.claim_and_insert(job.into(), first_chunk(first..first + 100, first..first + 50)).await
    };

    assert_eq!(claim(jobs[0]).await?, Claimed::NothingToDo);
    assert_eq!(claim(jobs[1]).await?, Claimed::Failed("no ink".into()));
    assert_eq!(claim(JobId { generation: 1, ..jobs[2] }).await?, Claimed::Unknown);
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;
    assert_eq!(claim(jobs[2]).await?, Claimed::Paused);
    ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(claim(jobs[3]).await?, Claimed::NothingToDo);

    assert_eq!(ledger.items_of(jobs[0].batch).await?.len(), 100);
    Ok(())
}

/// A worker is lost right after its first chunk, again and again. Only the first chunk is new.
pub async fn a_worker_lost_after_its_first_chunk_counts_as_a_crash(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch()).await?;
    ledger.lose(jobs[0]).await?;

    let claims = async || ledger.claim_and_insert(jobs[1].into(), first_chunk(100..200, 100..150)).await;
    for _ in 0..3 {
        assert!(matches!(claims().await?, Claimed::Work(_)));
    }

    assert!(matches!(claims().await?, Claimed::Poisoned(_)));
    Ok(())
}
