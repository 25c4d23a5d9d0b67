//! summarize: the counts of lists.

use std::time::Duration;

use rocket_batch::ledger::{BatchCommand, COUNT_INTERVAL};

use crate::subject::*;

pub async fn a_list_shows_the_latest_counts(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(500)).await?;
    let batch = jobs[0].batch;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "all its jobs wait");

    ledger.complete(jobs[0]).await?;
    ledger.fail(jobs[1]).await?;
    ledger.end(jobs[2], delayed(because("later"), Duration::from_secs(60))).await?;
    let claim = ledger.claim_job(jobs[3]).await?;
    ledger.insert_chunk(&claim, chunk(300..310)).await?;
    assert_eq!(ledger.listed(batch).await?.jobs.waiting, 5, "no process has counted the batch");
    ledger.summarized(7, batch).await?;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?);

    ledger.insert_chunk(&claim, chunk(310..320)).await?;
    ledger.summarized(8, batch).await?;
    assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "another process has counted");
    Ok(())
}

pub async fn finished_batches_are_listed_exactly_despite_late_counts(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let bystander = ledger.bystander().await?;
    let completed = ledger.one_job().await?;
    ledger.lose(completed).await?;
    ledger.summarized(7, completed.batch).await?;
    ledger.complete(completed).await?;

    ledger.closed(completed.batch, 0).await?;
    ledger.summarize(7, vec![recent(completed.batch), recent(id(4_711))]).await?;

    let listed = ledger.listed(completed.batch).await?;
    assert_eq!(listed, ledger.batch(completed.batch).await?);
    assert_eq!((listed.jobs.completed, listed.jobs.total(), listed.items_created), (1, 1, 100));
    bystander.assert_unchanged(&ledger).await
}

/// However many processes work on a batch, its jobs are counted a few times a second, and finally
/// by one that has seen the last change.
pub async fn a_batch_counted_by_another_process_is_counted_later(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let [one, other] = [ledger.one_job().await?, ledger.one_job().await?];
    assert_eq!(ledger.summarize(7, vec![recent(one.batch)]).await?, []);

    ledger.complete(one).await?;
    let passed_over = ledger.summarize(8, vec![recent(one.batch), recent(other.batch)]).await?;
    let listed = ledger.listed(one.batch).await?;
    // A process's own count does not stop it from counting again.
    assert_eq!(ledger.summarize(8, vec![recent(other.batch)]).await?, []);
    tokio::time::sleep(COUNT_INTERVAL).await;
    assert_eq!(ledger.summarize(8, vec![recent(one.batch), recent(other.batch)]).await?, []);

    assert_eq!((passed_over, listed.jobs.waiting), (vec![one.batch], 1));
    assert_eq!(ledger.listed(one.batch).await?, ledger.batch(one.batch).await?);
    Ok(())
}

/// A single statement for all of them would take too long.
pub async fn many_batches_are_counted_in_portions(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let mut jobs = Vec::new();
    for _ in 0..50 {
        jobs.push(ledger.one_job().await?);
        ledger.fail(jobs[jobs.len() - 1]).await?;
    }

    let left = ledger.summarize(7, jobs.iter().map(|job| recent(job.batch)).collect()).await?;

    assert_eq!(left, []);
    assert!(ledger.batches(None, ALL).await?.iter().all(|batch| batch.jobs.failed == 1));
    Ok(())
}

/// Often within one millisecond. The id of the process sorts before that of the verbs.
pub async fn the_later_of_two_concurrent_counts_is_listed(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;

    for _ in 0..50 {
        let job = ledger.one_job().await?;
        ledger.fail(job).await?;
        ledger.summarize(u64::MAX, vec![recent(job.batch)]).await?;
        ledger.retry(job.batch).await?;
        assert_eq!(ledger.listed(job.batch).await?, ledger.batch(job.batch).await?);
    }
    Ok(())
}

/// No worker would count them, since no job may be worked on afterwards.
pub async fn verbs_that_change_a_whole_batch_count_it(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let jobs = ledger.jobs_of(a_batch().of(300)).await?;
    let batch = jobs[0].batch;
    ledger.fail(jobs[0]).await?;
    let as_it_is = async |what: &str| -> TestResult {
        assert_eq!(ledger.listed(batch).await?, ledger.batch(batch).await?, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    };

    ledger.control(batch, BatchCommand::Pause).await?;
    as_it_is("paused").await?;
    ledger.control(batch, BatchCommand::Resume).await?;
    as_it_is("resumed").await?;
    ledger.retry(batch).await?;
    as_it_is("retried").await?;
    ledger.complete(jobs[1]).await?;
    ledger.control(batch, BatchCommand::Cancel).await?;
    as_it_is("cancelled").await?;

    let failed = ledger.failed_batch().await?.batch;
    ledger.retry(failed).await?;
    assert_eq!(ledger.listed(failed).await?, ledger.batch(failed).await?, "retried after its end");
    Ok(())
}
