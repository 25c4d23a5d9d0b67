//! The workers of a real plugin with a SQLite file. Faults come from a second connection to the
//! file.

mod plugin;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use plugin::Plugin;
use rocket_batch::{
    Batch, BatchError, BatchFinished, BatchStatus, BoxError, HookContext, ItemContext, ItemOptions, JobFinished,
    NewItemRow, PageQuery, WaitingFor,
    config::{Config, KeepSetting, RateLimitSetting},
    sqlite::{ItemWriter, rusqlite::Connection},
};
use support::TestResult;

/// Rejects every item with ordinal 57, as a constraint of the host would.
const REJECT_57: &str = "CREATE TRIGGER reject BEFORE INSERT ON rocket_batch_items WHEN new.ordinal = 57 \
                         BEGIN SELECT raise(ABORT, 'item 57 is not allowed'); END";

fn fast(config: &mut Config) {
    config.generate.rate_limit = RateLimitSetting(None);
    config.generate.backoff = Duration::from_millis(20);
    config.status.backoff = Duration::from_millis(20);
    config.chunk_backoff = Duration::from_millis(5);
}

/// Makes an item writer that copies new items to the table `mine` and calls `at_57` for ordinal 57.
fn copy_except(at_57: fn() -> Result<(), BoxError>) -> impl ItemWriter {
    move |transaction: &Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>| {
        let mut insert = transaction.prepare_cached("INSERT INTO mine VALUES (?1, ?2, ?3)")?;
        for item in items {
            if item.ordinal == 57 {
                at_57()?;
            }
            insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
        }
        Ok(())
    }
}

/// Returns the number of items that are in both tables with the same code. Fails when an item is in
/// only one of them.
fn copied(plugin: &Plugin) -> TestResult<i64> {
    let both = "SELECT count(*) FROM mine JOIN rocket_batch_items USING (batch, ordinal, code)";
    let counts =
        [both, "SELECT count(*) FROM mine", "SELECT count(*) FROM rocket_batch_items"].map(|sql| plugin.number(sql));
    match counts {
        [Ok(both), Ok(mine), Ok(ours)] if both == mine && both == ours => Ok(both),
        other => Err(format!("both, mine, ours: {other:?}").into()),
    }
}

const MINE: &str = "CREATE TABLE mine (batch, ordinal, code, PRIMARY KEY (batch, ordinal))";

fn jobs_of(batch_size: u64) -> ItemOptions {
    ItemOptions { batch_size, ..ItemOptions::default() }
}

#[rocket::async_test]
async fn inserts_the_other_chunks_when_one_chunk_fails() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.sql(REJECT_57)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    let progress = plugin.until_finished(1).await?;

    assert_eq!(progress.status, BatchStatus::Failed);
    assert_eq!((progress.jobs.completed, progress.jobs.failed), (2, 1));
    assert_eq!(progress.items_created, 250);
    let failed = plugin.service().failed_jobs(1, None, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("expected one failed job".into()) };
    assert_eq!((job.job_id.as_str(), job.first, job.last, job.attempts), ("b1-j0-g0", 0, 99, 3));
    assert_eq!((job.failed_chunks[0].from, job.failed_chunks[0].to, job.failed_chunks[0].tries), (50, 99, 3));
    assert!(job.failed_chunks[0].error.contains("item 57 is not allowed"), "{:?}", job.failed_chunks);
    assert!(job.error.starts_with("50 items could not be written"), "{}", job.error);
    let batch = plugin.service().batch(1).await?;
    assert!(batch.error.is_some_and(|error| error.contains("1 of 3 jobs")));
    plugin.stop().await
}

/// The pause of the feeder once grew with the time since the last wakeup.
#[rocket::async_test]
async fn starts_a_batch_at_once_after_a_long_idle_time() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.until_finished(1).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let started = Instant::now();
    plugin.service().create_product_items_async(2, 100, jobs_of(100)).await?;
    plugin.until_finished(2).await?;

    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    plugin.stop().await
}

#[rocket::async_test]
async fn generates_only_missing_items_in_a_manual_retry() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.sql(REJECT_57)?;
    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.until_finished(1).await?;
    let before = plugin.items(1).await?;
    plugin.sql("DROP TRIGGER reject")?;

    let report = plugin.service().retry_failed_jobs(1).await?;

    assert_eq!((report.found, report.recreated, report.job_ids), (1, 1, vec!["b1-j0-g1".to_owned()]));
    assert_eq!(report.status, BatchStatus::Running);
    let progress = plugin.until_finished(1).await?;
    assert_eq!((progress.status, progress.items_created, progress.percent), (BatchStatus::Completed, 300, 100));
    let after = plugin.items(1).await?;
    assert!(before.iter().all(|item| after.contains(item)), "existing items are unchanged");
    assert_eq!(after.len(), 300);
    let again = plugin.service().retry_failed_jobs(1).await;
    assert!(matches!(again, Err(BatchError::NotAllowed(_))), "{again:?}");
    plugin.stop().await
}

#[rocket::async_test]
async fn reports_the_error_of_an_item_writer_with_the_failed_chunk() -> TestResult {
    let writer = copy_except(|| Err("no label for item 57".into()));
    let plugin = Plugin::attach(Batch::fairing().public().configure(fast).sqlite_item_writer(writer)).await?;
    plugin.sql(MINE)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    let progress = plugin.until_finished(1).await?;

    assert_eq!((progress.status, progress.items_created), (BatchStatus::Failed, 250));
    let failed = plugin.service().failed_jobs(1, None, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("expected one failed job".into()) };
    let [chunk] = &job.failed_chunks[..] else { return Err("expected one failed chunk".into()) };
    assert_eq!((job.attempts, chunk.from, chunk.to, chunk.tries), (3, 50, 99, 3));
    assert_eq!(chunk.error, "no label for item 57");
    assert_eq!(copied(&plugin)?, 250);
    plugin.stop().await
}

/// 300 such jobs once made one response of 64 MB, and four responses at once took 443 MB of memory.
#[rocket::async_test]
async fn keeps_the_first_errors_of_a_job_whose_chunks_fail_with_different_errors() -> TestResult {
    let reject = |_: &Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>| {
        Err::<(), BoxError>(format!("item {} is not allowed, {}", items[0].ordinal, "sorry ".repeat(300)).into())
    };
    let one_try = |config: &mut Config| {
        fast(config);
        config.chunk_size = 1;
        config.chunk_tries = 1;
        config.generate.attempts = 1;
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(one_try).sqlite_item_writer(reject)).await?;

    plugin.service().create_product_items_async(1, 6_000, jobs_of(100)).await?;
    plugin.until_finished(1).await?;

    let (mut seen, mut query) = (0, PageQuery { limit: Some(1_000), ..PageQuery::default() });
    loop {
        let page = plugin.service().failed_jobs(1, None, query.clone()).await?;
        assert!(serde_json::to_vec(&page)?.len() <= 1_001_000);
        for job in &page.items {
            assert_eq!(
                (job.failed_chunks.len(), job.more_failed_chunks, job.more_items),
                (20, 80, 80),
                "{}",
                job.job_id
            );
            seen += 1;
        }
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, 60);
    plugin.stop().await
}

/// At most 100 jobs per second start, so the last batch runs for at least six seconds.
#[rocket::async_test]
async fn removes_history_while_other_batches_run() -> TestResult {
    let plugin = Plugin::start(|config| {
        fast(config);
        config.generate.rate_limit = "100 per 1s".parse().expect("it is a rate");
        config.keep_history = KeepSetting(Some(Duration::from_secs(1)));
    })
    .await?;
    plugin.sql(REJECT_57)?;
    let service = plugin.service();
    service.create_product_items_async(1, 300, jobs_of(100)).await?;
    service.create_product_items_async(2, 50, jobs_of(1)).await?;
    service.create_product_items_async(3, 50, jobs_of(10)).await?;
    service.pause(3).await?;
    let finished = [plugin.until_finished(1).await?, plugin.until_finished(2).await?];
    plugin.sql("DROP TRIGGER reject")?;
    service.create_product_items_async(4, 600, jobs_of(1)).await?;

    plugin.wait_until_number("SELECT count(*) FROM rocket_batch_jobs WHERE batch <= 2", 0).await?;

    let running = service.get_batch_job_progress(4).await?;
    assert_eq!((running.status, running.total), (BatchStatus::Running, 600));
    for before in finished {
        let id = before.batch_id.get();
        assert!(service.batch(id).await?.history_removed);
        assert_eq!(service.get_batch_job_progress(id).await?, before);
        assert_eq!(plugin.items(id).await?.len() as u64, before.items_created);
        let failed = service.failed_jobs(id, None, PageQuery::default()).await;
        assert!(matches!(failed, Err(BatchError::HistoryRemoved(batch)) if batch.get() == id), "{failed:?}");
    }
    let retried = service.retry_failed_jobs(1).await;
    assert!(matches!(retried, Err(BatchError::HistoryRemoved(_))), "{retried:?}");
    assert_eq!(plugin.number("SELECT count(*) FROM rocket_batch_jobs WHERE batch = 3")?, 5);
    service.resume(3).await?;
    for (id, items) in [(3, 50), (4, 600)] {
        let progress = plugin.until_finished(id).await?;
        assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, items));
    }
    plugin.stop().await
}

/// Nothing else writes to this database, so only the removal of history waits.
#[rocket::async_test]
async fn waits_for_the_database_without_blocking_a_shutdown_while_removing_history() -> TestResult {
    let plugin = Plugin::start(|config| {
        fast(config);
        config.keep_history = KeepSetting(Some(Duration::from_secs(1)));
    })
    .await?;
    let waits = |progress: &rocket_batch::Progress| progress.waiting_for == Some(WaitingFor::Database);
    let outsider = plugin.connection()?;
    for batch in [1, 2] {
        plugin.service().create_product_items_async(batch, 300, jobs_of(100)).await?;
        plugin.until_finished(batch).await?;
        outsider.execute_batch("BEGIN IMMEDIATE")?;
        plugin.wait_until(batch, waits).await?;
        if batch == 1 {
            outsider.execute_batch("COMMIT")?;
            plugin.wait_until_number("SELECT count(*) FROM rocket_batch_jobs", 0).await?;
            plugin.wait_until(batch, |progress| !waits(progress)).await?;
        }
    }

    let started = Instant::now();
    let home = plugin.stop_and_keep().await?;

    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    outsider.execute_batch("COMMIT")?;
    assert_eq!(home.number("SELECT count(*) FROM rocket_batch_jobs WHERE batch = 2")?, 3);
    Ok(())
}

/// An item writer runs on the shared writer thread. Its panic fails only the attempt, with its
/// message.
#[rocket::async_test]
async fn fails_only_the_attempt_when_an_item_writer_panics() -> TestResult {
    let writer = copy_except(|| panic!("printer jammed at item 57"));
    let plugin = Plugin::attach(Batch::fairing().public().configure(fast).sqlite_item_writer(writer)).await?;
    plugin.sql(MINE)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.service().create_product_items_async(2, 50, jobs_of(50)).await?;
    let (panicked, bystander) = (plugin.until_finished(1).await?, plugin.until_finished(2).await?);

    assert_eq!((panicked.status, panicked.items_created), (BatchStatus::Failed, 250));
    let failed = plugin.service().failed_jobs(1, None, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("expected one failed job".into()) };
    assert_eq!(job.attempts, 3);
    assert_eq!(job.error, "could not insert items: panicked: printer jammed at item 57");
    assert_eq!((bystander.status, bystander.items_created), (BatchStatus::Completed, 50));
    assert_eq!(copied(&plugin)?, 300);
    plugin.stop().await
}

#[rocket::async_test]
async fn rejects_the_second_of_two_simultaneous_retries() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.sql(REJECT_57)?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.until_finished(1).await?;

    let (one, two) = tokio::join!(plugin.service().retry_failed_jobs(1), plugin.service().retry_failed_jobs(1));

    let nothing = |retry: &Result<_, BatchError>| matches!(retry, Err(BatchError::NothingToRetry(_)));
    assert_eq!([&one, &two].into_iter().filter(|retry| retry.is_ok()).count(), 1, "{one:?} {two:?}");
    assert_eq!([&one, &two].into_iter().filter(|retry| nothing(retry)).count(), 1, "{one:?} {two:?}");
    plugin.stop().await
}

#[rocket::async_test]
async fn uses_up_no_attempt_when_a_chunk_succeeds_after_retries() -> TestResult {
    let plugin = Plugin::start(|config| {
        fast(config);
        config.chunk_tries = 100;
    })
    .await?;
    plugin.sql(REJECT_57)?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.wait_until(1, |progress| progress.items_created == 50).await?;

    plugin.sql("DROP TRIGGER reject")?;

    assert_eq!(plugin.until_finished(1).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.number("SELECT sum(attempts) FROM rocket_batch_jobs")?, 0);
    plugin.stop().await
}

#[rocket::async_test]
async fn waits_for_an_unavailable_database_without_using_up_attempts() -> TestResult {
    // The jobs start over two seconds, so the batch can't finish before the database is locked.
    let paced = |config: &mut Config| {
        fast(config);
        config.generate.rate_limit = "5 per 100ms".parse().expect("it is a rate");
    };
    let plugin = Plugin::start(paced).await?;
    let outside = plugin.connection()?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(1_000)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;

    outside.execute_batch("BEGIN IMMEDIATE")?;
    let progress = plugin.wait_until(1, |progress| progress.waiting_for == Some(WaitingFor::Database)).await?;
    assert_eq!(progress.status, BatchStatus::Running);
    outside.execute_batch("ROLLBACK")?;

    let progress = plugin.until_finished(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 100_000));
    assert_eq!(progress.waiting_for, None);
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs")?, 0);
    plugin.stop().await
}

/// The limit holds for all batches together, so a batch that has not started waits for it too.
#[rocket::async_test]
async fn progress_says_that_jobs_wait_for_the_rate_limit() -> TestResult {
    let limited = |config: &mut Config| {
        fast(config);
        config.generate.rate_limit = "2 per 8s".parse().expect("it is a rate");
    };
    let plugin = Plugin::start(limited).await?;
    let waits = |progress: &rocket_batch::Progress| progress.waiting_for == Some(WaitingFor::RateLimit);

    // Both starts are used up when the second batch comes: nothing of it can start before the next
    // window.
    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.wait_until(1, waits).await?;
    plugin.service().create_product_items_async(2, 10, jobs_of(10)).await?;

    for batch in [1, 2] {
        let progress = plugin.wait_until(batch, waits).await?;
        assert!(progress.jobs.waiting > 0 && progress.jobs.active == 0, "{progress:?}");
    }
    for batch in [1, 2] {
        assert_eq!(plugin.until_finished(batch).await?.waiting_for, None);
    }
    plugin.stop().await
}

#[rocket::async_test]
async fn inserts_nothing_after_a_cancel() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.service().create_product_items_async(1, 200_000, jobs_of(1_000)).await?;
    plugin.service().create_product_items_async(2, 1_000, jobs_of(100)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;

    let batch = plugin.service().cancel(1).await?;

    let rows = "SELECT count(*) FROM rocket_batch_items WHERE batch = 1";
    assert_eq!(plugin.number(rows)?, i64::try_from(batch.items_created)?);
    assert_eq!((batch.status, batch.jobs.open()), (BatchStatus::Cancelled, 0));
    // The workers went on since, because the other batch completed.
    assert_eq!(plugin.until_finished(2).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.number(rows)?, i64::try_from(batch.items_created)?);
    plugin.stop().await
}

#[rocket::async_test]
async fn stops_a_paused_batch_and_resumes_it() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.service().create_product_items_async(1, 50_000, jobs_of(1_000)).await?;
    plugin.service().create_product_items_async(2, 1_000, jobs_of(100)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;

    let paused = plugin.service().pause(1).await?;
    assert_eq!(plugin.until_finished(2).await?.status, BatchStatus::Completed);
    let stopped = plugin.wait_until(1, |progress| progress.jobs.active == 0).await?;
    assert_eq!((stopped.status, stopped.eta_seconds), (BatchStatus::Paused, None));
    assert_eq!(stopped.items_created, paused.items_created);

    assert_eq!(plugin.service().resume(1).await?.status, BatchStatus::Running);
    let progress = plugin.until_finished(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 50_000));
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs")?, 0);
    plugin.stop().await
}

/// A queue with a capacity of fewer than 100 jobs was once refilled only at every interval.
#[rocket::async_test]
async fn refills_a_queue_of_any_capacity_without_delay() -> TestResult {
    for capacity in [1, 3, 120] {
        let plugin = Plugin::start(move |config| {
            fast(config);
            config.queued_per_batch = capacity;
            config.feed_interval = Duration::from_secs(3_600);
        })
        .await?;

        plugin.service().create_product_items_async(1, 200, jobs_of(1)).await?;

        assert_eq!(plugin.until_finished(1).await?.status, BatchStatus::Completed, "capacity {capacity}");
        plugin.stop().await?;
    }
    Ok(())
}

/// There are more delayed jobs than the queue may hold, so most of them are only in the ledger.
#[rocket::async_test]
async fn runs_other_jobs_during_a_long_backoff_and_retries_delayed_jobs_when_due() -> TestResult {
    let plugin = Plugin::start(|config| {
        fast(config);
        (config.queued, config.queued_per_batch) = (4, 4);
        config.generate.backoff = Duration::from_secs(4);
        config.feed_interval = Duration::from_secs(3_600);
    })
    .await?;
    plugin.sql(
        "CREATE TRIGGER reject BEFORE INSERT ON rocket_batch_items WHEN new.batch = 1
        BEGIN SELECT raise(ABORT, 'not now'); END",
    )?;
    plugin.service().create_product_items_async(1, 40, jobs_of(1)).await?;
    plugin.wait_until(1, |progress| progress.jobs.delayed == 40).await?;

    plugin.service().create_product_items_async(2, 1, jobs_of(1)).await?;
    assert_eq!(plugin.until_finished(2).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.service().get_batch_job_progress(1).await?.jobs.delayed, 40, "batch 2 waited for no delayed job");

    plugin.sql("DROP TRIGGER reject")?;
    let progress = plugin.until_finished(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 40));
    plugin.stop().await
}

#[rocket::async_test]
async fn interleaves_a_small_batch_with_a_large_one() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(100)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;

    plugin.service().create_product_items_async(2, 500, jobs_of(100)).await?;
    plugin.until_finished(2).await?;

    let large = plugin.service().get_batch_job_progress(1).await?;
    assert!(large.percent < 60, "{large:?}");
    plugin.service().cancel(1).await?;
    plugin.stop().await
}

#[rocket::async_test]
async fn fails_a_batch_with_another_code_key_until_its_key_is_configured_again() -> TestResult {
    let key = |key: &'static str| {
        move |config: &mut Config| {
            fast(config);
            config.code_key = Some(rocket_batch::config::Secret::new(key));
        }
    };
    let plugin = Plugin::start(key("00112233445566778899aabbccddeeff")).await?;
    plugin.service().create_product_items_async(1, 200_000, jobs_of(1_000)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;
    let home = plugin.stop_and_keep().await?;

    let plugin = Plugin::start_in(home, key("ffeeddccbbaa99887766554433221100")).await?;
    let progress = plugin.until_finished(1).await?;
    assert_eq!(progress.status, BatchStatus::Failed);
    let failed = plugin.service().failed_jobs(1, None, PageQuery::default()).await?.items;
    assert!(failed[0].error.contains("was created with the code key") && failed[0].attempts == 1, "{:?}", failed[0]);
    let home = plugin.stop_and_keep().await?;

    let plugin = Plugin::start_in(home, key("00112233445566778899aabbccddeeff")).await?;
    plugin.service().retry_failed_jobs(1).await?;
    let progress = plugin.until_finished(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 200_000));
    plugin.stop().await
}

#[rocket::async_test]
async fn releases_running_jobs_at_a_drain() -> TestResult {
    let plugin = Plugin::start(fast).await?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(10_000)).await?;
    plugin.wait_until(1, |progress| progress.items_created > 0).await?;

    let home = plugin.stop_and_keep().await?;

    let states = home.number("SELECT count(*) FROM rocket_batch_jobs WHERE state IN ('waiting', 'completed')")?;
    assert_eq!(states, 10);
    assert_eq!(home.number("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs")?, 0);
    let plugin = Plugin::start_in(home, fast).await?;
    assert_eq!(plugin.until_finished(1).await?.items_created, 100_000);
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs")?, 0);
    plugin.stop().await
}

/// The events of hook calls, in sequence.
type Events<E> = Arc<Mutex<Vec<E>>>;

#[rocket::async_test]
async fn calls_a_hook_for_every_finished_job_and_batch() -> TestResult {
    let (batches, failed, completed): (Events<BatchFinished>, Events<JobFinished>, Events<JobFinished>) =
        Default::default();
    let (b, f, c) = (batches.clone(), failed.clone(), completed.clone());
    let fairing = Batch::fairing()
        .public()
        .configure(fast)
        .on_batch_finished(move |end, _| record(&b, end))
        .on_job_failed(move |end, _| record(&f, end))
        .on_job_completed(move |end, _| record(&c, end));
    let plugin = Plugin::attach(fairing).await?;
    plugin.sql(REJECT_57)?;
    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.service().create_product_items_async(2, 50, jobs_of(50)).await?;
    plugin.service().create_product_items_async(3, 1_000_000, jobs_of(1_000)).await?;
    plugin.service().cancel(3).await?;

    plugin.wait_until_no_hook_is_open().await?;
    plugin.until_finished(1).await?;
    plugin.until_finished(2).await?;
    plugin.wait_until_no_hook_is_open().await?;

    let status_of = |id: i64| {
        let events = batches.lock().unwrap();
        events
            .iter()
            .filter(|end| end.batch_id.get() == id)
            .map(|end| (end.status, end.failed_jobs))
            .collect::<Vec<_>>()
    };
    assert_eq!(status_of(1), [(BatchStatus::Failed, 1)]);
    assert_eq!(status_of(2), [(BatchStatus::Completed, 0)]);
    assert_eq!(status_of(3), [(BatchStatus::Cancelled, 0)]);
    let failed = std::mem::take(&mut *failed.lock().unwrap());
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].job_id.as_str(), failed[0].attempts, failed[0].items_created), ("b1-j0-g0", 3, 50));
    let completed = std::mem::take(&mut *completed.lock().unwrap());
    assert_eq!(completed.iter().filter(|end| end.batch_id.get() == 1).count(), 2);
    plugin.stop().await
}

fn record<E: Send>(events: &Events<E>, end: E) -> std::future::Ready<Result<(), String>> {
    events.lock().unwrap().push(end);
    std::future::ready(Ok(()))
}

#[rocket::async_test]
async fn calls_a_failing_hook_three_times() -> TestResult {
    let calls: [Arc<AtomicU32>; 3] = Default::default();
    let counted = calls.clone();
    let hook = move |end: BatchFinished, _: HookContext| {
        let call = counted[end.batch_id.get() as usize - 1].fetch_add(1, SeqCst);
        async move {
            match (end.batch_id.get(), call) {
                (1, 0) => panic!("not yet"),
                (1, 1) => Err("not yet"),
                (3, _) => Err("never"),
                _ => Ok(()),
            }
        }
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(fast).on_batch_finished(hook)).await?;

    for id in 1..=3 {
        plugin.service().create_product_items_async(id, 10, jobs_of(10)).await?;
    }
    for id in 1..=3 {
        plugin.until_finished(id).await?;
    }
    plugin.wait_until_no_hook_is_open().await?;

    assert_eq!(calls.each_ref().map(|calls| calls.load(SeqCst)), [3, 1, 3]);
    assert_eq!(plugin.number("SELECT count(*) FROM rocket_batch_hooks")?, 1, "the failed event is kept");
    assert_eq!(plugin.text("SELECT error FROM rocket_batch_hooks")?, "never");
    plugin.stop().await
}

#[rocket::async_test]
async fn stops_a_slow_hook_at_its_timeout_without_delaying_others() -> TestResult {
    let hook = |end: BatchFinished, _: HookContext| async move {
        if end.batch_id.get() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(())
    };
    let slow = |config: &mut Config| {
        fast(config);
        config.hook_timeout = Duration::from_millis(200);
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(slow).on_batch_finished(hook)).await?;

    plugin.service().create_product_items_async(1, 10, jobs_of(10)).await?;
    plugin.until_finished(1).await?;
    plugin.service().create_product_items_async(2, 10, jobs_of(10)).await?;
    plugin.until_finished(2).await?;
    plugin.wait_until_no_hook_is_open().await?;

    assert_eq!(plugin.text("SELECT error FROM rocket_batch_hooks")?, "did not respond within 200ms");
    plugin.stop().await
}

/// The number of failed calls, the last error and the time of the next call are in the ledger.
#[rocket::async_test]
async fn a_batch_that_waits_for_its_finish_hook_survives_a_restart() -> TestResult {
    let refuse = |_: &Connection, _: &BatchFinished, _: &HookContext| Err("not yet".into());
    let accept = |transaction: &Connection, end: &BatchFinished, _: &HookContext| {
        transaction.execute("INSERT INTO ends VALUES (?1)", [end.batch_id.get()])?;
        Ok(())
    };
    let often = |config: &mut Config| {
        fast(config);
        config.status.max_backoff = Duration::from_millis(50);
        config.feed_interval = Duration::from_millis(100);
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(often).sqlite_finish_hook(refuse)).await?;
    plugin.sql("CREATE TABLE ends (batch PRIMARY KEY)")?;
    plugin.service().create_product_items_async(1, 10, jobs_of(10)).await?;
    let tries = "SELECT min(close_tries, 8) FROM rocket_batch_batches";
    plugin.wait_until_number(tries, 8).await?;
    let home = plugin.stop_and_keep().await?;
    assert_eq!(home.number("SELECT count(*) FROM rocket_batch_batches WHERE close_error = 'not yet'")?, 1);

    let fairing = Batch::fairing().public().configure(often).sqlite_finish_hook(accept);
    let plugin = Plugin::attach_in(home, fairing).await?;
    let progress = plugin.until_finished(1).await?;

    assert_eq!((progress.status, progress.waiting_for), (BatchStatus::Completed, None));
    assert_eq!(plugin.number("SELECT count(*) FROM ends")?, 1);
    assert_eq!(plugin.number("SELECT close_tries FROM rocket_batch_batches")?, 0);
    plugin.stop().await
}

/// The host inserts its row and the request of a batch in one transaction.
#[rocket::async_test]
async fn generates_a_batch_requested_in_a_transaction_of_the_host() -> TestResult {
    let plugin = Plugin::start(|config| {
        fast(config);
        config.feed_interval = Duration::from_secs(3_600);
    })
    .await?;
    plugin.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY)")?;
    let ask = "BEGIN IMMEDIATE; INSERT INTO orders VALUES (7);
               INSERT INTO batch_requests (batch_id, quantity, qr_code_prefix) VALUES (7, 250, 'QR');";

    plugin.sql(&format!("{ask} ROLLBACK"))?;
    let nothing = plugin.service().batch(7).await;
    plugin.sql(&format!("{ask} COMMIT"))?;
    plugin.service().wake_feeder();
    let progress = plugin.until_finished(7).await?;

    assert!(matches!(nothing, Err(BatchError::NoSuchBatch(7))), "{nothing:?}");
    assert_eq!((progress.status, progress.total, progress.items_created), (BatchStatus::Completed, 3, 250));
    assert_eq!(plugin.number("SELECT count(*) FROM orders")?, 1);
    let items = plugin.items(7).await?;
    assert!(items.iter().all(|item| item.code.starts_with("QR-")), "{:?}", items[0]);
    assert_eq!(plugin.service().item_by_code(&items[0].code).await?, items[0]);
    plugin.stop().await
}
