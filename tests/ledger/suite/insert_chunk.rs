//! `insert_chunk`: items are inserted once.

use std::time::Duration;

use rocket_batch::ledger::{AttemptResult, BatchCommand, ChunkInserted, Finished, LedgerError};

use crate::subject::*;

pub async fn items_are_inserted_once_however_often_they_are_sent(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch()).await?;
    let claim = ledger.claim_job(jobs[0]).await?;

    assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::New(50));
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::New(0));
    assert_eq!(ledger.insert_chunk(&claim, chunk(40..60)).await?, ChunkInserted::New(10));
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..0)).await?, ChunkInserted::New(0));

    assert_eq!(ledger.items_of(jobs[0].batch).await?, (0..60).collect::<Vec<_>>());
    assert_eq!(ledger.batch(jobs[0].batch).await?.items_created, 60);
    let item = &ledger.items(jobs[0].batch, page(Some(6), 1)).await?[0];
    assert_eq!((item.batch_id, item.ordinal, item.code.as_str()), (jobs[0].batch, 7, "code-7"));
    assert!(is_recent(Some(item.created_at)));
    bystander.assert_unchanged(&ledger).await
}

/// A worker that was suspended for longer than its lock continues: nothing of it may be stored.
pub async fn rejects_a_chunk_from_a_superseded_claim(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let slow = ledger.claim_job(job).await?;
    let fast = ledger.claim_job(job).await?;

    let late = ledger.insert_chunk(&slow, chunk(0..50)).await?;

    assert_eq!(late, ChunkInserted::Fenced);
    assert!(ledger.items_of(job.batch).await?.is_empty());
    assert_eq!(ledger.insert_chunk(&fast, chunk(0..50)).await?, ChunkInserted::New(50));
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_a_chunk_after_the_attempt_finished(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let settlements =
        [AttemptResult::Released, AttemptResult::Failed(because("no")), delayed(because("no"), Duration::ZERO)];

    for how in settlements {
        let job = ledger.jobs_of(a_batch()).await?[0];
        let claim = ledger.claim_job(job).await?;
        ledger.finish_attempt(&claim, how, WORKED).await?;
        assert_eq!(ledger.insert_chunk(&claim, chunk(0..50)).await?, ChunkInserted::Fenced);
        assert_eq!(ledger.batch(job.batch).await?.items_created, 0);
    }
    Ok(())
}

pub async fn rejects_a_chunk_after_a_cancel(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.insert_chunk(&claim, chunk(0..10)).await?;
    ledger.control(job.batch, BatchCommand::Cancel).await?;

    assert_eq!(ledger.insert_chunk(&claim, chunk(10..20)).await?, ChunkInserted::Cancelled);
    assert_eq!(ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await?, Finished::Fenced);

    assert_eq!(ledger.items_of(job.batch).await?.len(), 10);
    assert_eq!(ledger.batch(job.batch).await?.jobs.cancelled, 1);
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_a_chunk_while_the_batch_is_paused(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;

    ledger.control(job.batch, BatchCommand::Pause).await?;
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::Paused);
    assert!(ledger.items_of(job.batch).await?.is_empty());

    ledger.control(job.batch, BatchCommand::Resume).await?;
    assert_eq!(ledger.insert_chunk(&claim, chunk(0..10)).await?, ChunkInserted::New(10));
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_an_item_of_another_job(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.jobs_of(a_batch()).await?[0];
    let claim = ledger.claim_job(job).await?;

    let stray = ledger.insert_chunk(&claim, chunk(99..101)).await;

    assert!(matches!(stray, Err(LedgerError::Rejected { why }) if why.contains("item 100")));
    assert!(ledger.items_of(job.batch).await?.is_empty());
    Ok(())
}
