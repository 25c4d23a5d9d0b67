//! Finish hooks and item writers that treat their transaction badly.

use rocket_batch::{ledger::HookRetry, postgres::tokio_postgres};
use tokio::sync::{Semaphore, watch};

use super::*;

const SHORT: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(20) };
const LONG: Backoff = Backoff { first: Duration::from_secs(3_600), max: Duration::from_secs(3_600) };

/// How a hook treats its transaction.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Well,
    NeverReturns,
    HidesAnError,
    BreaksADeferredConstraint,
    LosesItsConnection,
}

struct Rude(watch::Receiver<Way>);

impl FinishHook for Rude {
    fn finish<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        _: &'a BatchFinished,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        let way = *self.0.borrow();
        treat(transaction, way).map(|treated| Ok(treated?)).boxed()
    }
}

async fn treat(transaction: &Transaction<'_>, way: Way) -> Result<(), tokio_postgres::Error> {
    transaction.batch_execute("INSERT INTO mine VALUES (1, 1)").await?;
    match way {
        Way::Well => Ok(()),
        Way::NeverReturns => transaction.batch_execute("SELECT pg_sleep(1)").await,
        Way::HidesAnError => {
            transaction.batch_execute("SELECT nothing").await.expect_err("there is no such column");
            Ok(())
        }
        Way::BreaksADeferredConstraint => transaction.batch_execute("INSERT INTO mine VALUES (2, 7)").await,
        Way::LosesItsConnection => transaction.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").await,
    }
}

const MINE: &str = "CREATE TABLE mine (id int PRIMARY KEY, parent int REFERENCES mine DEFERRABLE INITIALLY DEFERRED)";

fn retry_of(closed: Closed) -> HookRetry {
    let Closed::HookFailed(retry) = closed else { panic!("the hook did not fail: {closed:?}") };
    retry
}

#[tokio::test]
async fn a_finish_hook_that_treats_its_transaction_badly_fails() -> TestResult {
    let table = [
        (Way::NeverReturns, "did not return within 300ms"),
        (Way::HidesAnError, "a statement of it failed, but it returned no error"),
        (Way::BreaksADeferredConstraint, "violates foreign key constraint"),
        (Way::LosesItsConnection, "terminating connection"),
    ];
    for (way, why) in table {
        let schema = Schema::new().await;
        schema.outsider.batch_execute(MINE).await?;
        let (tell, told) = watch::channel(way);
        let ledger = PostgresLedger::new(schema.pool.clone(), RULES);
        let ledger = ledger.with_finish_hook(Arc::new(Rude(told)), SHORT, Duration::from_millis(300));
        let bystander = schema.ledger.bystander().await?;
        let job = schema.ledger.one_job().await?;
        schema.ledger.complete(job).await?;

        let retry = retry_of(ledger.close(job.batch, 0).await?);

        assert!(retry.error.contains(why), "{}", retry.error);
        assert_eq!(schema.number("SELECT count(*) FROM mine").await, 0);
        assert_eq!(schema.ledger.batch(job.batch).await?.status, BatchStatus::Running);
        // The batch is not locked any more, even if a statement of the hook was still running.
        let locked = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(1)%'
                          AND pid <> pg_backend_pid() AND usename = current_user AND query NOT LIKE '%pg_stat%'";
        assert!(way != Way::NeverReturns || schema.number(locked).await == 0);
        tell.send_replace(Way::Well);
        sleep(retry.delay).await;
        assert!(matches!(ledger.close(job.batch, 0).await?, Closed::Now(_)), "{why}");
        assert_eq!(schema.number("SELECT count(*) FROM mine").await, 1);
        bystander.assert_unchanged(&schema.ledger).await?;
    }
    Ok(())
}

/// Waits in the hook, and then fails.
struct Slow {
    entered: Arc<Semaphore>,
    leave: Arc<Semaphore>,
}

impl FinishHook for Slow {
    fn finish<'a>(&'a self, _: &'a Transaction<'_>, _: &'a BatchFinished) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            self.entered.add_permits(1);
            let _ = self.leave.acquire().await?;
            Err("too late".into())
        }
        .boxed()
    }
}

/// The retry waits for the lock of the closing, and wins when the hook fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_during_a_finish_hook_is_not_overwritten_by_its_failure() -> TestResult {
    let schema = Schema::new().await;
    let (entered, leave) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let hook = Slow { entered: entered.clone(), leave: leave.clone() };
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES);
    let ledger = Arc::new(ledger.with_finish_hook(Arc::new(hook), LONG, Duration::from_secs(30)));
    let job = schema.ledger.one_job().await?;
    schema.ledger.fail(job).await?;

    let closing = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.close(job.batch, 0).await }
    });
    entered.acquire().await?.forget();
    let retrying = tokio::spawn({
        let ledger = schema.ledger.share();
        async move { ledger.retry(job.batch, RetryOptions::default(), &Caller::default()).await }
    });
    let waiting = || schema.number("SELECT count(*) FROM pg_locks WHERE NOT granted");
    until("the retry waits", WAIT_TIMEOUT, waiting, |waiting| *waiting > 0).await?;
    leave.add_permits(1);
    let (closed, report) = (closing.await??, retrying.await??);

    assert!(matches!(closed, Closed::NothingToDo | Closed::HookFailed(_)), "{closed:?}");
    assert_eq!(report.recreated, 1);
    let batch = schema.ledger.batch(job.batch).await?;
    assert_eq!((batch.status, batch.jobs.waiting, batch.hook_error), (BatchStatus::Running, 1, None));
    let [open] = &schema.ledger.open_jobs_of(job.batch).await?[..] else { return Err("one job is open".into()) };
    schema.ledger.complete(open.job).await?;
    assert_eq!(schema.ledger.tasks_to_close(job.batch).await?, close_of(job.batch, 0), "at once");
    Ok(())
}

/// The clock was wrong for a while.
#[tokio::test]
async fn a_finish_hook_is_called_again_at_the_latest_after_the_longest_backoff() -> TestResult {
    let schema = Schema::new().await;
    schema.outsider.batch_execute(MINE).await?;
    let (tell, told) = watch::channel(Way::HidesAnError);
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES);
    let ledger = ledger.with_finish_hook(Arc::new(Rude(told)), LONG, Duration::from_secs(5));
    let job = schema.ledger.one_job().await?;
    schema.ledger.complete(job).await?;
    let refused = schema.ledger.requested(a_batch()).await?;
    retry_of(ledger.close(job.batch, 0).await?);
    ledger.plan(refused, too_many()).await?;
    assert_eq!(
        (ledger.batches_to_close(&[job.batch]).await?, ledger.open_tasks(EVERY_TASK).await?.unplanned),
        (vec![], vec![])
    );

    let later = "UPDATE batches SET close_not_before = now() + interval '1 year' WHERE close_tries > 0";
    assert_eq!(schema.outsider.execute(later, &[]).await?, 2);

    assert_eq!(ledger.batches_to_close(&[job.batch]).await?, close_of(job.batch, 0));
    assert_eq!(ledger.open_tasks(EVERY_TASK).await?.unplanned.len(), 1);
    tell.send_replace(Way::Well);
    assert!(matches!(ledger.close(job.batch, 0).await?, Closed::Now(_)));
    Ok(())
}

fn hide<'a>(
    transaction: &'a Transaction<'_>,
    _: &'a [NewItemRow<'a>],
    _: &'a BatchInfo,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        transaction.batch_execute("SELECT nothing").await.expect_err("there is no such column");
        Ok(())
    }
    .boxed()
}

/// The commit of its transaction was a rollback that looked like a success: the items of the chunk
/// were missing for ever.
#[tokio::test]
async fn an_item_writer_that_hides_an_error_refuses_its_chunk() -> TestResult {
    let schema = Schema::new().await;
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES).with_item_writer(Arc::new(hide));
    let job = schema.ledger.one_job().await?;
    let claim = schema.ledger.claim_job(job).await?;

    let rejected = ledger.insert_chunk(&claim, chunk(0..10)).await;

    assert!(
        matches!(&rejected, Err(LedgerError::Rejected { why }) if why.contains("returned no error")),
        "{rejected:?}"
    );
    assert_eq!(schema.number("SELECT count(*) FROM items").await, 0);
    Ok(())
}

#[tokio::test]
async fn an_item_writer_sees_its_batch() -> TestResult {
    let schema = Schema::new().await;
    let job = schema.ledger.jobs_of(a_batch().of(30).in_jobs_of(10).with_prefix("QR")).await?[1];
    let claim = schema.ledger.claim_job(job).await?;
    let ledger = PostgresLedger::new(schema.pool.clone(), RULES).with_item_writer(Arc::new(check_batch));

    for ordinals in [10..12, 12..20] {
        assert!(matches!(ledger.insert_chunk(&claim, chunk(ordinals)).await?, ChunkInserted::New(_)));
    }
    Ok(())
}

fn check_batch<'a>(
    _: &'a Transaction<'_>,
    items: &'a [NewItemRow<'a>],
    batch: &'a BatchInfo,
) -> BoxFuture<'a, Result<(), BoxError>> {
    let options = (batch.options.batch_size, batch.options.qr_code_prefix.as_deref());
    assert_eq!((batch.batch_id, batch.quantity, options), (items[0].batch_id, 30, (10, Some("QR"))));
    async { Ok(()) }.boxed()
}
