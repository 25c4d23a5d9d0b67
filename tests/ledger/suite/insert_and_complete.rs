//! `insert_and_complete`: the last chunk with the end of the job.

use rocket_batch::{
    domain::{HookEvent, Measured},
    ledger::{AttemptResult, BatchCommand, Claimed, LastChunk},
};

use crate::subject::*;

pub async fn a_last_chunk_completes_its_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let claim = ledger.claim_job(jobs[0]).await?;
    ledger.insert_chunk(&claim, chunk(0..50)).await?;

    let done = ledger.insert_and_complete(&claim, chunk(50..100), WORKED).await?;
    // The response to a commit may be lost, and the worker then repeats the call.
    let again = ledger.insert_and_complete(&claim, chunk(50..100), WORKED).await?;

    assert_eq!((done, again), (LastChunk::Completed, LastChunk::Completed));
    let batch = ledger.batch(jobs[0].batch).await?;
    assert_eq!((batch.jobs.completed, batch.jobs.waiting, batch.items_created), (1, 1, 100));
    assert_eq!(batch.measured, Measured { items: 100, worked: WORKED });
    let events = ledger.events_of(batch.batch_id).await?;
    assert!(
        matches!(&events[..], [HookEvent::JobCompleted(job)] if job.seq == 0 && job.items_created == 100),
        "{events:?}"
    );
    assert_eq!(ledger.claim(jobs[0]).await?, Claimed::NothingToDo);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_last_chunk_changes_nothing_unless_the_job_is_as_expected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    let half_of = async |seq: u64, items: u64| -> TestResult<_> {
        let claim = ledger.claim_job(jobs[seq as usize]).await?;
        ledger.insert_chunk(&claim, chunk(seq * 100..seq * 100 + items)).await?;
        Ok(claim)
    };
    let late = half_of(0, 50).await?;
    let _current = half_of(0, 50).await?;
    let lacking = half_of(1, 40).await?;
    let twice = half_of(2, 60).await?;
    let failed = half_of(3, 50).await?;
    ledger.finish_attempt(&failed, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let paused = half_of(4, 50).await?;
    let before = ledger.items_of(jobs[0].batch).await?;
    let last = async |claim, from: u64| ledger.insert_and_complete(claim, chunk(from..from + 50), WORKED).await;

    assert_eq!(last(&late, 50).await?, LastChunk::Unchanged, "the job was claimed again");
    assert_eq!(last(&lacking, 150).await?, LastChunk::Unchanged, "another item is missing");
    assert_eq!(last(&twice, 250).await?, LastChunk::Unchanged, "some of the items exist");
    assert_eq!(last(&failed, 350).await?, LastChunk::Unchanged, "the job failed");
    assert_eq!(last(&lacking, 160).await?, LastChunk::Unchanged, "some ordinals belong to another job");
    ledger.control(jobs[0].batch, BatchCommand::Pause).await?;
    assert_eq!(last(&paused, 450).await?, LastChunk::Unchanged, "the batch is paused");
    ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(last(&paused, 450).await?, LastChunk::Unchanged, "the batch was cancelled");

    assert_eq!(ledger.items_of(jobs[0].batch).await?, before);
    assert_eq!(ledger.batch(jobs[0].batch).await?.jobs.completed, 0);
    Ok(())
}
