//! plan: batches that were requested in the database itself.

#![expect(clippy::single_range_in_vec_init, reason = "missing items are a list of ranges, often of one")]

use rocket_batch::{
    domain::{BatchFinished, BatchId, BatchStatus, HookEvent, JobCounts, JobId},
    ledger::{AttemptResult, BatchCommand, Claimed, Closed, Estimator, LedgerError, Planned, Unplanned},
};
use tokio::task::JoinSet;

use crate::subject::*;

pub async fn a_requested_batch_has_no_jobs_before_it_is_planned(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    let asked = a_batch().of(250).in_jobs_of(100).with_prefix("QR");
    let options = a_batch().of(250).in_jobs_of(100).with_prefix("QR").build().options;
    let batch = ledger.requested(asked).await?;

    let record = ledger.batch(batch).await?;
    assert_eq!((record.status, record.quantity, &record.options), (BatchStatus::Pending, 250, &options));
    assert_eq!((record.jobs, record.items_created, record.round), (JobCounts::default(), 0, 0));
    assert!(is_recent(Some(record.created_at)) && record.finished_at.is_none());
    let progress = progress_of(&record);
    assert_eq!((progress.total, progress.percent, progress.eta_seconds), (0, 0, None));
    assert_eq!(ledger.unplanned().await?, [Unplanned { batch, quantity: 250, options }]);
    assert_eq!((ledger.open_jobs_of(batch).await?, ledger.close_task(batch).await?), (vec![], None));
    assert_eq!((ledger.items_of(batch).await?, ledger.failed_jobs(batch, ALL).await?), (vec![], vec![]));
    assert_eq!(ledger.share().jobs(batch, None, ALL).await?.rows, []);
    assert_eq!(ledger.claim(JobId { batch, seq: 0, generation: 0 }).await?, Claimed::Unknown);
    assert_eq!(ledger.close(batch, 0).await?, Closed::NothingToDo);
    assert!(matches!(ledger.retry(batch).await, Err(LedgerError::NotAllowed(_))));
    // Its number of jobs is unknown.
    let plan = a_batch().of(200).build().plan;
    let estimated = Estimator::new(ledger.share()).estimate(&plan, &ONE_A_SECOND).await?;
    assert_eq!(estimated.as_secs(), 2 + 2 - 1, "two of the bystander's, two of its own, the first at once");
    assert_eq!(ledger.batch(batch).await?, record);
    bystander.assert_unchanged(&ledger).await
}

pub async fn plan_inserts_the_jobs_of_a_batch(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, other] =
        [ledger.requested(a_batch().of(250).with_prefix("QR")).await?, ledger.requested(a_batch()).await?];

    assert_eq!(ledger.plan(batch, plan_input(a_batch().of(250))).await?, Planned::Now);

    let planned = ledger.batch(batch).await?;
    assert_eq!((planned.status, planned.round, planned.started_at), (BatchStatus::Pending, 0, None));
    assert_eq!(planned.jobs, JobCounts { waiting: 3, ..JobCounts::default() });
    let open = ledger.open_jobs_of(batch).await?;
    assert_eq!(open.iter().map(|job| (job.first, job.quantity)).collect::<Vec<_>>(), [(0, 100), (100, 100), (200, 50)]);
    let work = ledger.work(open[0].job).await?;
    assert_eq!(
        (work.prefix.as_deref(), work.key_fingerprint.as_str(), work.missing),
        (Some("QR"), "f00d", vec![0..100])
    );
    ledger.finish_attempt(&work.claim, AttemptResult::Released, WORKED).await?;
    for job in open {
        ledger.complete(job.job).await?;
    }
    let closed = ledger.closed(batch, 0).await?;
    assert_eq!((closed.status, closed.items_created), (BatchStatus::Completed, 250));
    assert_eq!(ledger.unplanned().await?.iter().map(|asked| asked.batch).collect::<Vec<_>>(), [other]);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_batch_that_can_not_be_planned_fails_with_the_reason(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, other] = [ledger.requested(a_batch()).await?, ledger.requested(a_batch()).await?];

    assert_eq!(ledger.plan(batch, too_many()).await?, Planned::Now);

    let refused = ledger.batch(batch).await?;
    assert_eq!((refused.status, refused.jobs, refused.round), (BatchStatus::Failed, JobCounts::default(), 1));
    assert_eq!(refused.error.as_deref(), Some("`quantity` must be 1 to 100, but is 200"));
    assert!(is_recent(refused.finished_at) && refused.started_at.is_none());
    let progress = progress_of(&refused);
    assert_eq!((progress.total, progress.percent, progress.eta_seconds), (0, 0, Some(0)));
    let finished = BatchFinished::new(batch, BatchStatus::Failed, 200);
    assert_eq!(ledger.events_of(batch).await?, [HookEvent::BatchFinished(finished)]);
    assert_eq!((ledger.close_task(batch).await?, ledger.close(batch, 1).await?), (None, Closed::NothingToDo));
    let report = ledger.retry(batch).await?;
    assert_eq!((report.found, report.recreated, report.status), (0, 0, BatchStatus::Failed));
    for command in [BatchCommand::Cancel, BatchCommand::Pause, BatchCommand::Resume] {
        assert!(matches!(ledger.control(batch, command).await, Err(LedgerError::NotAllowed(_))), "{command:?}");
    }
    assert_eq!(ledger.plan(batch, plan_input(a_batch())).await?, Planned::NothingToDo);
    assert_eq!(ledger.batch(batch).await?, refused);
    assert_eq!(ledger.unplanned().await?.iter().map(|asked| asked.batch).collect::<Vec<_>>(), [other]);
    bystander.assert_unchanged(&ledger).await
}

pub async fn only_one_of_many_concurrent_plans_takes_effect(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    // Settings may differ between processes, so one may refuse what another plans.
    for round in 0..10 {
        let batch = ledger.requested(a_batch().of(10_000).in_jobs_of(10)).await?;
        let mut planners = JoinSet::new();
        for planner in 0..8 {
            let ledger = ledger.share();
            let refuses = round % 2 == 1 && planner % 2 == 1;
            planners.spawn(async move {
                let how = if refuses { too_many() } else { plan_input(a_batch().of(10_000).in_jobs_of(10)) };
                Ok::<_, LedgerError>((ledger.plan(batch, how).await?, refuses))
            });
        }
        let answers = planners.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;

        let first: Vec<_> = answers.iter().filter(|(planned, _)| *planned == Planned::Now).collect();
        let [(_, refused)] = first[..] else { return Err(format!("one, please: {first:?}").into()) };
        let planned = ledger.batch(batch).await?;
        assert_eq!(planned.status, if *refused { BatchStatus::Failed } else { BatchStatus::Pending });
        assert_eq!(planned.jobs.total(), if *refused { 0 } else { 1_000 });
        assert_eq!(ledger.open_jobs_of(batch).await?.len() as u64, planned.jobs.open());
    }
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_cancelled_batch_is_not_planned(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let batch = ledger.requested(a_batch()).await?;

    let cancelled = ledger.control(batch, BatchCommand::Cancel).await?;

    assert_eq!((cancelled.status, cancelled.jobs, cancelled.round), (BatchStatus::Cancelled, JobCounts::default(), 1));
    assert!(is_recent(cancelled.finished_at));
    assert_eq!(ledger.events_of(batch).await?.len(), 1);
    assert_eq!((ledger.unplanned().await?, ledger.close_task(batch).await?), (vec![], None));
    assert_eq!(ledger.plan(batch, plan_input(a_batch())).await?, Planned::NothingToDo);
    assert_eq!(ledger.plan(batch, too_many()).await?, Planned::NothingToDo);
    assert_eq!(ledger.batch(batch).await?, cancelled);
    bystander.assert_unchanged(&ledger).await
}

pub async fn a_paused_batch_is_planned_and_stays_paused(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let [batch, refused] = [ledger.requested(a_batch()).await?, ledger.requested(a_batch()).await?];
    for batch in [batch, refused] {
        assert_eq!(ledger.control(batch, BatchCommand::Pause).await?.status, BatchStatus::Paused);
    }
    assert_eq!(ledger.unplanned().await?.len(), 2);
    assert_eq!(ledger.retry(batch).await?.found, 0);

    assert_eq!(ledger.plan(batch, plan_input(a_batch())).await?, Planned::Now);
    assert_eq!(ledger.plan(refused, too_many()).await?, Planned::Now);

    let planned = ledger.batch(batch).await?;
    assert_eq!((planned.status, planned.jobs.waiting), (BatchStatus::Paused, 2));
    assert_eq!(ledger.open_jobs_of(batch).await?, []);
    assert_eq!(ledger.batch(refused).await?.status, BatchStatus::Failed);
    assert_eq!(ledger.control(batch, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    assert_eq!(ledger.open_jobs_of(batch).await?.len(), 2);
    // Another batch is resumed before it is planned.
    let early = ledger.requested(a_batch()).await?;
    ledger.control(early, BatchCommand::Pause).await?;
    assert_eq!(ledger.control(early, BatchCommand::Resume).await?.status, BatchStatus::Pending);
    assert_eq!(ledger.plan(early, plan_input(a_batch())).await?, Planned::Now);
    bystander.assert_unchanged(&ledger).await
}

pub async fn unplanned_batches_are_returned_up_to_a_limit(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut asked = Vec::new();
    for _ in 0..105 {
        asked.push(ledger.requested(a_batch()).await?);
    }

    let first: Vec<_> = ledger.unplanned().await?.into_iter().map(|asked| asked.batch).collect();
    for batch in &first {
        ledger.plan(*batch, plan_input(a_batch())).await?;
    }
    let rest: Vec<_> = ledger.unplanned().await?.into_iter().map(|asked| asked.batch).collect();

    assert_eq!((&first[..], &rest[..]), (&asked[..100], &asked[100..]));
    Ok(())
}

pub async fn requested_and_created_batches_share_the_sequence(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut ids = vec![ledger.create(a_batch().build()).await?.batch, ledger.requested(a_batch()).await?];

    for taken in [4, 5, i64::pow(2, 53) - 1] {
        assert_eq!(ledger.requested(a_batch().with_id(taken)).await?, id(taken));
    }
    ids.push(ledger.requested(a_batch()).await?);
    ids.push(ledger.requested(a_batch()).await?);
    ids.push(ledger.create(a_batch().build()).await?.batch);
    let taken = ledger.create(a_batch().with_id(4).build()).await;

    assert_eq!(ids, [1, 2, 3, 6, 7].map(id));
    assert!(matches!(taken, Err(LedgerError::IdInUse(taken)) if taken == id(4)), "{taken:?}");
    Ok(())
}

pub async fn a_request_with_invalid_values_is_rejected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let prefix = ["`qr_code_prefix` must be 1 to 16 characters of A-Z, a-z, 0-9, `_` and `-`", ""];
    let table = [
        (a_batch().of(0), ["`quantity` must be 1 to ", "`max_quantity`"]),
        (a_batch().in_jobs_of(0), ["`batch_size` must be 1 to ", "`max_items_per_job`"]),
        (a_batch().in_at_most(0), ["`max_jobs_per_batch` must be 1 to ", "setting"]),
        (a_batch().with_prefix(""), prefix),
        (a_batch().with_prefix("seventeen-letters"), prefix),
        (a_batch().with_prefix("two words"), prefix),
        (a_batch().with_prefix("\u{e4}"), prefix),
    ];

    for (batch, words) in table {
        assert_rejected(ledger.requested(batch).await, words);
    }
    let taken = ledger.requested(a_batch().with_id(1)).await;
    assert!(taken.is_err(), "{taken:?}");
    assert_eq!((ledger.batches(None, ALL).await?.len(), ledger.unplanned().await?), (1, vec![]));
    bystander.assert_unchanged(&ledger).await
}

fn assert_rejected(refused: TestResult<BatchId>, words: [&str; 2]) {
    let refused = refused.map_err(|error| error.to_string());
    let names_all = |error: &String| words.iter().all(|word| error.contains(word));
    assert!(refused.as_ref().is_err_and(names_all), "{refused:?} is not {words:?}");
}

/// It was accepted, and failed when it was planned, after the host's transaction was committed.
pub async fn a_request_beyond_the_settings_is_rejected(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    // The limits of the tests: 10,000,000 items, and 100,000 jobs of up to 10,000 items.
    let too_large = ["`quantity` must be at most ", "`max_items_per_job`"];
    let table = [
        (a_batch().of(10_000_001), ["`quantity` must be 1 to ", "`max_quantity`"]),
        (a_batch().of(1 << 53), ["`quantity` must be 1 to ", "`max_quantity`"]),
        (a_batch().in_jobs_of(10_001), ["`batch_size` must be 1 to ", "`max_items_per_job`"]),
        (a_batch().in_at_most(100_001), ["`max_jobs_per_batch` must be 1 to ", "setting"]),
        (a_batch().of(20_001).in_at_most(2), too_large),
    ];

    for (batch, words) in table {
        assert_rejected(ledger.requested(batch).await, words);
    }

    let within = [
        a_batch().of(10_000_000),
        a_batch().in_jobs_of(10_000),
        a_batch().in_at_most(100_000),
        a_batch().of(20_000).in_at_most(2),
    ];
    for (at, batch) in within.into_iter().enumerate() {
        ledger.requested(batch).await?;
        assert_eq!(ledger.unplanned().await?.len(), at + 1);
    }
    bystander.assert_unchanged(&ledger).await
}
