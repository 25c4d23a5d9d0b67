//! Finish hooks that end the shared transaction, and a clock that was wrong.

use rocket_batch::ledger::Closed;

use super::*;

const SHORT: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(20) };
const LONG: Backoff = Backoff { first: Duration::from_secs(3_600), max: Duration::from_secs(3_600) };

/// A defect of the host must not affect other calls for long, and the thread continues.
#[tokio::test]
async fn a_finish_hook_that_rolls_the_transaction_back_fails() -> TestResult {
    let rude = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let told = rude.clone();
    let hook = move |conn: &Connection, _: &BatchFinished| {
        if told.load(std::sync::atomic::Ordering::SeqCst) { Ok(conn.execute_batch("ROLLBACK")?) } else { Ok(()) }
    };
    let database = Database::of(|ledger| ledger.with_finish_hook(Arc::new(hook), SHORT)).await;
    let ledger = &database.ledger;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;

    let Closed::HookFailed(retry) = ledger.close(job.batch, 0).await? else { panic!("the hook fails") };

    assert_eq!((retry.error.as_str(), retry.tries), ("ended the shared transaction", 1));
    assert_eq!(ledger.batch(job.batch).await?.finished_at, None);
    rude.store(false, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(retry.delay).await;
    assert!(ledger.closed(job.batch, 0).await?.finished_at.is_some());
    Ok(())
}

#[tokio::test]
async fn a_finish_hook_is_called_again_at_the_latest_after_the_longest_backoff() -> TestResult {
    let hook = |_: &Connection, _: &BatchFinished| Err("no".into());
    let database = Database::of(|ledger| ledger.with_finish_hook(Arc::new(hook), LONG)).await;
    let ledger = &database.ledger;
    let job = ledger.one_job().await?;
    ledger.complete(job).await?;
    let refused = ledger.requested(a_batch()).await?;
    ledger.close(job.batch, 0).await?;
    ledger.plan(refused, too_many()).await?;
    assert_eq!((ledger.tasks_to_close(job.batch).await?, ledger.unplanned().await?), (vec![], vec![]));

    let later =
        "UPDATE rocket_batch_batches SET close_not_before = close_not_before + 31536000000 WHERE close_tries > 0";
    assert_eq!(database.outsider().execute(later, [])?, 2);

    assert_eq!(ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0));
    assert_eq!(ledger.unplanned().await?.len(), 1);
    let Closed::HookFailed(retry) = ledger.close(job.batch, 0).await? else { panic!("the hook fails") };
    assert_eq!(retry.tries, 2);
    Ok(())
}
