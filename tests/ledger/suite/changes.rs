//! changes: what watchers read.

use std::collections::HashMap;

use rocket_batch::{
    BatchStatus,
    ledger::{BatchChange, BatchCommand, ChangeQuery, RecentWork},
};

use crate::subject::*;

/// The changes of one batch since `version`.
async fn since(ledger: &Subject, batch: rocket_batch::BatchId, version: u64) -> TestResult<Option<BatchChange>> {
    let query = ChangeQuery { known: HashMap::from([(batch, version)]), includes_open: false };
    Ok(ledger.changes(query).await?.pop())
}

pub async fn a_batch_is_returned_when_its_version_differs(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;

    let created = since(&ledger, batch, 0).await?.ok_or("it was not read yet")?;
    assert_eq!(created.record, ledger.batch(batch).await?);
    assert_eq!(since(&ledger, batch, created.version).await?, None);

    ledger.complete(jobs[0]).await?;
    ledger.summarized(7, batch).await?;
    let counted = since(&ledger, batch, created.version).await?.ok_or("it was counted")?;
    assert_eq!((counted.record.items_created, counted.record.jobs.completed), (100, 1));

    ledger.control(batch, BatchCommand::Pause).await?;
    let paused = since(&ledger, batch, counted.version).await?.ok_or("it was paused")?;
    assert_eq!(paused.record.status, BatchStatus::Paused);
    ledger.control(batch, BatchCommand::Cancel).await?;
    let cancelled = since(&ledger, batch, paused.version).await?.ok_or("it was cancelled")?;
    assert_eq!(cancelled.record, ledger.batch(batch).await?);

    let versions = [created, counted, paused, cancelled].map(|change| change.version);
    assert!(versions.is_sorted(), "{versions:?}");
    assert_eq!(since(&ledger, batch, versions[3]).await?, None);
    assert_eq!(since(&ledger, id(4_711), 0).await?, None, "there is no such batch");
    Ok(())
}

pub async fn open_and_just_finished_batches_are_found(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [running, paused, completed] = [ledger.one_job().await?, ledger.one_job().await?, ledger.one_job().await?];
    let pending = ledger.one_job().await?;
    let _claim = ledger.claim_job(running).await?;
    ledger.control(paused.batch, BatchCommand::Pause).await?;
    ledger.complete(completed).await?;
    ledger.closed(completed.batch, 0).await?;

    let all = ledger.changes(ChangeQuery { known: HashMap::new(), includes_open: true }).await?;

    let mut found: Vec<_> = all.iter().map(|change| (change.record.batch_id, change.record.status)).collect();
    found.sort_by_key(|(batch, _)| *batch);
    let expected = [
        (running.batch, BatchStatus::Running),
        (paused.batch, BatchStatus::Paused),
        (completed.batch, BatchStatus::Completed),
        (pending.batch, BatchStatus::Pending),
    ];
    assert_eq!(found, expected);
    let known = all.iter().map(|change| (change.record.batch_id, change.version)).collect();
    assert_eq!(ledger.changes(ChangeQuery { known, includes_open: true }).await?, []);
    Ok(())
}

/// Two processes work on a batch. The end keeps the time of the last item.
pub async fn activity_is_summed_over_processes(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(200)).await?;
    let batch = jobs[0].batch;
    assert_eq!(ledger.batch(batch).await?.activity.last_item_at, None);
    let now = chrono::Utc::now();
    let [earlier, later] = [2, 1].map(|seconds| now - chrono::TimeDelta::seconds(seconds));

    ledger.complete(jobs[0]).await?;
    for (process, items, at) in [(7, 60, later), (8, 40, earlier)] {
        let work = || ledger.summarize(process, vec![RecentWork { batch, items, last_item_at: Some(at) }]);
        try_until("the batch is counted", WAIT_TIMEOUT, work, Vec::is_empty).await?;
    }

    let activity = ledger.batch(batch).await?.activity;
    assert_eq!(activity.recent_items, 100);
    let last = activity.last_item_at.ok_or("there are items")?;
    assert!((last - later).abs() < chrono::TimeDelta::milliseconds(1), "{last} {later}");
    assert_eq!(ledger.listed(batch).await?.activity, activity);

    ledger.complete(jobs[1]).await?;
    ledger.closed(batch, 0).await?;
    let finished = ledger.batch(batch).await?.activity;
    assert_eq!((finished.recent_items, finished.last_item_at), (0, Some(last)));
    let quick = ledger.one_job().await?;
    ledger.complete(quick).await?;
    ledger.closed(quick.batch, 0).await?;
    let without_a_summary = ledger.batch(quick.batch).await?;
    assert_eq!(without_a_summary.activity.last_item_at, without_a_summary.finished_at);
    Ok(())
}
