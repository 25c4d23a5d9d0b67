//! create: batches, their ids, estimates and idempotent requests.

use std::{collections::HashSet, time::Duration};

use rocket_batch::{
    domain::{BatchStatus, CreateRequest, JobCounts, JobId, QueueCapacity},
    ledger::{BatchCommand, Created, Estimator, LedgerError},
};
use tokio::task::JoinSet;

use crate::subject::*;

pub async fn a_new_batch_is_pending_and_all_its_jobs_are_waiting(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    let new = a_batch().of(250).with_prefix("QR").build();
    let options = new.options.clone();
    let batch = ledger.create(new).await?.batch;

    let made = ledger.batch(batch).await?;
    assert_eq!((made.status, made.quantity, made.options), (BatchStatus::Pending, 250, options));
    assert_eq!(made.jobs, JobCounts { waiting: 3, ..JobCounts::default() });
    assert_eq!((made.items_created, made.round, made.started_at, made.finished_at), (0, 0, None, None));
    assert!(is_recent(Some(made.created_at)));
    let open = ledger.open_jobs_of(batch).await?;
    assert_eq!(open.iter().map(|job| (job.first, job.quantity)).collect::<Vec<_>>(), [(0, 100), (100, 100), (200, 50)]);
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_an_id_in_use(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    assert_eq!(ledger.create(a_batch().with_id(77).build()).await?.batch, id(77));
    let again = ledger.create(a_batch().with_id(77).of(5_000).build()).await;

    assert!(matches!(again, Err(LedgerError::IdInUse(taken)) if taken == id(77)));
    assert_eq!(ledger.batch(id(77)).await?.quantity, 200);
    bystander.assert_unchanged(&ledger).await
}

pub async fn the_sequence_skips_used_ids_and_ignores_large_ones(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut ids = Vec::new();

    ids.push(ledger.create(a_batch().build()).await?.batch);
    for taken in [2, 3, i64::pow(2, 53) - 1] {
        ledger.create(a_batch().with_id(taken).build()).await?;
    }
    ids.push(ledger.create(a_batch().build()).await?.batch);
    ids.push(ledger.create(a_batch().build()).await?.batch);

    assert_eq!(ids, [id(1), id(4), id(5)]);
    Ok(())
}

pub async fn a_batch_of_a_hundred_thousand_jobs_is_created_and_fed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;

    let batch = ledger.create(a_batch().of(100_000).in_jobs_of(1).build()).await?.batch;

    let room = QueueCapacity { per_batch: 1_000, total: 10_000 };
    let work = ledger.open_jobs(first_jobs(64, room)).await?;
    assert_eq!(ledger.batch(batch).await?.jobs.waiting, 100_000);
    assert_eq!(work.jobs.iter().filter(|open| open.job.batch == batch).count(), 1_000);
    assert!(work.has_more);
    bystander.assert_unchanged(&ledger).await
}

pub async fn the_estimate_includes_jobs_of_open_batches(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let small = ledger.jobs_of(a_batch().of(300)).await?;
    let large = ledger.jobs_of(a_batch().of(5_000)).await?;
    let paused = ledger.jobs_of(a_batch().of(2_000)).await?;
    ledger.control(paused[0].batch, BatchCommand::Pause).await?;
    ledger.completed_batch().await?;
    let plan = a_batch().of(1_000).build().plan;
    let estimate = async || Estimator::new(ledger.share()).estimate(&plan, &ONE_A_SECOND).await;

    // Three jobs of the small batch, ten of the large one, as many as the new batch has. The
    // first starts at once.
    assert_eq!(estimate().await?.as_secs(), 3 + 10 + 10 - 1);

    ledger.complete(small[0]).await?;
    ledger.summarized(7, small[0].batch).await?;
    ledger.control(large[0].batch, BatchCommand::Cancel).await?;
    assert_eq!(estimate().await?.as_secs(), 2 + 10 - 1);
    Ok(())
}

/// The backlog is cached, and each new batch is added to it.
pub async fn the_estimate_includes_batches_created_just_now(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let plan = a_batch().of(1_000).build().plan;
    let estimator = Estimator::new(ledger.share());

    let mut estimates = Vec::new();
    for _ in 0..3 {
        estimates.push(estimator.estimate(&plan, &ONE_A_SECOND).await?.as_secs());
        ledger.create(a_batch().of(1_000).build()).await?;
        estimator.add_created(&plan);
    }

    assert_eq!(estimates, [9, 19, 29]);
    Ok(())
}

pub async fn the_estimate_uses_the_speed_of_the_batch_that_finished_last(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [first, second] = [ledger.one_job().await?, ledger.jobs_of(a_batch().of(50)).await?[0]];
    let plan = a_batch().of(1_000_000).build().plan;
    let estimate = async || Estimator::new(ledger.share()).estimate(&plan, &UNLIMITED).await;

    ledger.complete(second).await?;
    ledger.complete(first).await?;
    for ended in [first, second] {
        ledger.summarized(7, ended.batch).await?;
    }
    let before = estimate().await?;
    ledger.closed(second.batch, 0).await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    ledger.closed(first.batch, 0).await?;
    let after = estimate().await?;

    // At the assumed 10,000 items per second, and at 100 items in 30 ms.
    assert_eq!((before.as_secs(), after.as_secs()), (100, 300));
    Ok(())
}

/// A process that inserted nothing recently.
pub async fn a_repeated_request_gets_its_first_result(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let asked = || a_batch().of(1_000).with_id(77).asked_by(a_request("ann", "a thousand"));
    let first = ledger.create(asked().taking(9).build()).await?;
    ledger.complete(JobId { batch: first.batch, seq: 0, generation: 0 }).await?;
    ledger.create(a_batch().of(5_000).build()).await?;
    let before = ledger.batch(first.batch).await?;

    // Settings have changed meanwhile: jobs would be larger and faster.
    let again = ledger.create(asked().in_jobs_of(500).taking(1).build()).await?;

    assert_eq!((first.batch, first.quantity, first.jobs, first.repeated), (id(77), 1_000, 10, false));
    assert_eq!(again, Created { repeated: true, ..first });
    assert_eq!(ledger.batch(first.batch).await?, before);
    assert_eq!(ledger.batches(None, ALL).await?.len(), 3);
    bystander.assert_unchanged(&ledger).await
}

pub async fn rejects_the_key_of_another_request(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let first = ledger.create(a_batch().asked_by(a_request("ann", "two hundred")).build()).await?;

    let other = ledger.create(a_batch().of(300).asked_by(a_request("ann", "three hundred")).build()).await;
    let same = ledger.create(a_batch().asked_by(a_request("ann", "two hundred")).build()).await?;

    assert!(matches!(other, Err(LedgerError::KeyReused(batch)) if batch == first.batch), "{other:?}");
    assert_eq!(same, Created { repeated: true, ..first });
    assert_eq!(ledger.batches(None, ALL).await?.len(), 2);
    bystander.assert_unchanged(&ledger).await
}

pub async fn each_caller_has_separate_keys(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut batches = HashSet::new();

    for caller in ["ann", "bob", ""] {
        let first = ledger.create(a_batch().asked_by(a_request(caller, "the same")).build()).await?;
        let again = ledger.create(a_batch().asked_by(a_request(caller, "the same")).build()).await?;
        assert_eq!((first.repeated, again.repeated, again.batch), (false, true, first.batch), "{caller}");
        batches.insert(first.batch);
    }

    assert_eq!(batches.len(), 3);
    Ok(())
}

pub async fn a_refused_request_does_not_use_up_its_key(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let taken = ledger.one_job().await?.batch.get();

    let refused = ledger.create(a_batch().with_id(taken).asked_by(a_request("ann", "taken")).build()).await;
    let made = ledger.create(a_batch().with_id(77).asked_by(a_request("ann", "free")).build()).await?;

    assert!(matches!(refused, Err(LedgerError::IdInUse(_))), "{refused:?}");
    assert_eq!((made.batch, made.repeated), (id(77), false));
    bystander.assert_unchanged(&ledger).await
}

pub async fn an_expired_key_can_be_used_again(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let asked =
        |remembered| a_batch().asked_by(CreateRequest { remembered, ..a_request("ann", "two hundred") }).build();
    let first = ledger.create(asked(CreateRequest::REMEMBERED)).await?;
    let still = ledger.create(asked(CreateRequest::REMEMBERED)).await?;
    let before = ledger.batch(first.batch).await?;

    let second = ledger.create(asked(Duration::ZERO)).await?;
    let again = ledger.create(asked(CreateRequest::REMEMBERED)).await?;

    assert_eq!((still.batch, still.repeated), (first.batch, true));
    assert!(second.batch != first.batch && !second.repeated, "{second:?}");
    assert_eq!((again.batch, again.repeated), (second.batch, true));
    assert_eq!(ledger.batch(first.batch).await?, before);
    bystander.assert_unchanged(&ledger).await
}

pub async fn only_one_of_fifty_equal_concurrent_requests_creates_the_batch(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut twins = JoinSet::new();

    for _ in 0..50 {
        let (ledger, new) = (ledger.share(), a_batch().asked_by(a_request("ann", "two hundred")).build());
        twins.spawn(async move { ledger.create(new).await });
    }
    let answers = twins.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;

    let (again, first): (Vec<_>, Vec<_>) = answers.into_iter().partition(|created| created.repeated);
    assert_eq!((first.len(), again.len()), (1, 49));
    assert!(again.iter().all(|created| *created == Created { repeated: true, ..first[0] }), "{again:?}");
    assert_eq!(ledger.batches(None, ALL).await?.len(), 1);
    Ok(())
}
