//! `code_key`, `identity`, `try_acquire_leadership`, ping, shutdown.

use std::{collections::HashSet, time::Duration};

use rocket_batch::{
    domain::CodeKey,
    ledger::{AttemptResult, LedgerError},
};

use crate::subject::*;

pub async fn the_first_code_key_is_stored(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [first, second] = [1, 2].map(|byte| CodeKey::from_bytes([byte; 16]));

    assert_eq!(ledger.code_key(first.clone()).await?, first);
    assert_eq!(ledger.code_key(second).await?, first);
    Ok(())
}

pub async fn a_ledger_keeps_its_identity_and_no_other_has_it(harness: impl Harness) -> TestResult {
    let (ledger, other) = (harness.ledger().await, harness.ledger().await);

    let identities = rocket::futures::future::try_join_all((0..10).map(|_| ledger.identity())).await?;

    assert!(identities.iter().all(|identity| *identity == identities[0]), "{identities:?}");
    assert_eq!(identities[0].len(), 16);
    assert_ne!(other.identity().await?, identities[0]);
    Ok(())
}

pub async fn one_process_has_the_leadership(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    let leadership = ledger.try_acquire_leadership().await?;
    assert!(leadership.is_some());
    assert!(ledger.try_acquire_leadership().await?.is_none());
    drop(leadership);
    assert!(ledger.try_acquire_leadership().await?.is_some());
    Ok(())
}

pub async fn a_closed_ledger_is_unavailable(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;
    ledger.ping().await?;

    tokio::join!(ledger.shutdown(), ledger.shutdown());
    ledger.shutdown().await;

    let answers = [
        ledger.ping().await.err(),
        ledger.create(a_batch().build()).await.err(),
        ledger.plan(job.batch, too_many()).await.err(),
        ledger.claim(job).await.err(),
        ledger.insert_chunk(&claim, chunk(0..1)).await.err(),
        ledger.finish_attempt(&claim, AttemptResult::Released, WORKED).await.err(),
        ledger.batch(job.batch).await.err(),
        ledger.items(job.batch, ALL).await.err(),
        ledger.every_open_job().await.err(),
        ledger.open_tasks(EVERY_TASK).await.err(),
        ledger.try_acquire_leadership().await.err(),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Some(LedgerError::Unavailable { .. })), "{number}: {answer:?}");
    }
    Ok(())
}

pub async fn a_dropped_verb_runs_to_completion(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let job = ledger.one_job().await?;
    let claim = ledger.claim_job(job).await?;

    for ordinal in 0..100 {
        let write = ledger.insert_chunk(&claim, chunk(ordinal..ordinal + 1));
        // Polled once and dropped.
        let _ = tokio::time::timeout(Duration::ZERO, write).await;
    }

    // Some may still be running, on other connections.
    ledger.insert_chunk(&claim, chunk(0..1)).await?;
    let items = || ledger.items_of(job.batch);
    let items = try_until("all items are there", WAIT_TIMEOUT, items, |items| items.len() >= 100).await?;
    let items: HashSet<_> = items.into_iter().collect();
    assert_eq!(items.len(), 100);
    assert_eq!(ledger.batch(job.batch).await?.items_created, 100);
    Ok(())
}
