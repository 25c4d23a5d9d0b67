//! control: cancel, pause and resume.

use std::time::Duration;

use rocket_batch::{
    domain::{BatchStatus, JobCounts},
    ledger::{AttemptResult, BatchCommand, LedgerError},
};

use crate::subject::*;

pub async fn a_cancel_finishes_the_batch_and_its_open_jobs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?;
    ledger.lose(jobs[3]).await?;

    let cancelled = ledger.control(jobs[0].batch, BatchCommand::Cancel).await?;

    assert_eq!((cancelled.status, cancelled.round, &cancelled.error), (BatchStatus::Cancelled, 1, &None));
    assert_eq!(cancelled.jobs, JobCounts { completed: 1, failed: 1, cancelled: 3, ..JobCounts::default() });
    assert!(is_recent(cancelled.finished_at));
    assert_eq!(ledger.batch(jobs[0].batch).await?, cancelled);
    assert_eq!(ledger.open_jobs_of(jobs[0].batch).await?, []);
    assert_eq!(ledger.close_task(jobs[0].batch).await?, None);
    assert_eq!(ledger.items_of(jobs[0].batch).await?.len(), 100);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_command_succeeds_in_the_statuses_that_allow_it_and_fails_in_others(harness: impl Harness) -> TestResult {
    use BatchStatus::{Cancelled, Paused, Pending, Running};
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let granted = [
        (Pending, BatchCommand::Cancel, Cancelled),
        (Running, BatchCommand::Cancel, Cancelled),
        (Paused, BatchCommand::Cancel, Cancelled),
        (Pending, BatchCommand::Pause, Paused),
        (Running, BatchCommand::Pause, Paused),
        (Paused, BatchCommand::Resume, Pending),
    ];

    for (status, command) in BatchStatus::ALL.into_iter().flat_map(|s| {
        [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume].into_iter().map(move |command| (s, command))
    }) {
        let batch = ledger.batch_with_status(status).await?;
        let before = ledger.batch(batch).await?;
        match granted.iter().find(|(from, of, _)| (*from, *of) == (status, command)) {
            Some((.., to)) => assert_eq!(ledger.control(batch, command).await?.status, *to, "{status} {command:?}"),
            None => {
                let refused = ledger.control(batch, command).await;
                assert!(
                    matches!(refused, Err(LedgerError::NotAllowed(refused)) if refused.status == status),
                    "{status} {command:?}"
                );
                assert_eq!(ledger.batch(batch).await?, before);
            }
        }
    }
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_resume_restores_the_status_before_the_pause(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [claimed, fresh] = [ledger.one_job().await?, ledger.one_job().await?];
    ledger.end(claimed, AttemptResult::Released).await?;
    for job in [claimed, fresh] {
        ledger.control(job.batch, BatchCommand::Pause).await?;
    }

    assert_eq!(ledger.control(claimed.batch, BatchCommand::Resume).await?.status, BatchStatus::Running);
    assert_eq!(ledger.control(fresh.batch, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    Ok(())
}

pub async fn a_nonexistent_batch_can_not_be_controlled(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for command in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(id(9), command).await, Err(LedgerError::NoSuchBatch(batch)) if batch == id(9)));
    }
    assert!(matches!(ledger.retry(id(9)).await, Err(LedgerError::NoSuchBatch(_))));
    assert!(matches!(ledger.batch(id(9)).await, Err(LedgerError::NoSuchBatch(_))));
    Ok(())
}
