//! What workers do with jobs, on a real plugin and a real file; faults come from a second
//! connection to it.

mod plugin;

use std::{
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use plugin::Plugin;
use rocket_batch::{
    Batch, BatchError, BatchFinished, BatchStatus, BoxError, ItemOptions, JobEnded, NewItemRow, PageQuery, WaitingFor,
    config::{Config, KeepSetting, RateLimitSetting},
    sqlite::{ItemWriter, rusqlite::Connection},
};

type TestResult = Result<(), Box<dyn Error>>;

/// Refuses every item with this ordinal, as a constraint of the host's would.
const REFUSE_57: &str = "CREATE TRIGGER refuse BEFORE INSERT ON batch_items WHEN new.ordinal = 57 \
                         BEGIN SELECT raise(ABORT, 'fifty-seven is not welcome'); END";

fn eager(config: &mut Config) {
    config.generate.rate_limit = RateLimitSetting(None);
    config.generate.backoff = Duration::from_millis(20);
    config.status.backoff = Duration::from_millis(20);
    config.chunk_backoff = Duration::from_millis(5);
}

/// Keeps new items in `mine`, but for ordinal 57, where it does as it is told.
fn keep_but(at_57: fn() -> Result<(), BoxError>) -> impl ItemWriter {
    move |transaction: &Connection, items: &[NewItemRow<'_>]| {
        let mut insert = transaction.prepare_cached("INSERT INTO mine VALUES (?1, ?2, ?3)")?;
        for item in items {
            if item.ordinal == 57 {
                at_57()?;
            }
            insert.execute((item.batch_id.get(), item.ordinal, item.code))?;
        }
        Ok(())
    }
}

/// How many items stand in both tables with the same code; an error when one of them stands in one
/// alone.
fn kept(plugin: &Plugin) -> Result<i64, Box<dyn Error>> {
    let both = "SELECT count(*) FROM mine JOIN batch_items USING (batch, ordinal, code)";
    let counts = [both, "SELECT count(*) FROM mine", "SELECT count(*) FROM batch_items"].map(|sql| plugin.number(sql));
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
async fn a_bad_chunk_is_set_aside_and_the_others_go_on() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.sql(REFUSE_57)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    let progress = plugin.until_over(1).await?;

    assert_eq!(progress.status, BatchStatus::Failed);
    assert_eq!((progress.jobs.completed, progress.jobs.failed), (2, 1));
    assert_eq!(progress.items_created, 250);
    let failed = plugin.service().failed_jobs(1, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("one failed job, please".into()) };
    assert_eq!((job.job_id.as_str(), job.first, job.last, job.attempts), ("b1-j0-g0", 0, 99, 3));
    assert_eq!((job.failed_chunks[0].from, job.failed_chunks[0].to, job.failed_chunks[0].tries), (50, 99, 3));
    assert!(job.failed_chunks[0].error.contains("fifty-seven is not welcome"), "{:?}", job.failed_chunks);
    assert!(job.error.starts_with("50 items could not be written"), "{}", job.error);
    let batch = plugin.service().batch(1).await?;
    assert!(batch.error.is_some_and(|error| error.contains("1 of 3 jobs")));
    plugin.stop().await
}

/// The feeder gathers calls for a moment, and not the longer the longer nobody called.
#[rocket::async_test]
async fn a_batch_begins_at_once_also_after_a_long_rest() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.until_over(1).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let began = Instant::now();
    plugin.service().create_product_items_async(2, 100, jobs_of(100)).await?;
    plugin.until_over(2).await?;

    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    plugin.stop().await
}

#[rocket::async_test]
async fn a_retry_by_hand_makes_what_is_missing_with_fresh_attempts() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.sql(REFUSE_57)?;
    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.until_over(1).await?;
    let before = plugin.items(1).await?;
    plugin.sql("DROP TRIGGER refuse")?;

    let report = plugin.service().retry_failed_jobs(1).await?;

    assert_eq!((report.found, report.recreated, report.job_ids), (1, 1, vec!["b1-j0-g1".to_owned()]));
    assert_eq!(report.status, BatchStatus::Running);
    let progress = plugin.until_over(1).await?;
    assert_eq!((progress.status, progress.items_created, progress.percent), (BatchStatus::Completed, 300, 100));
    let after = plugin.items(1).await?;
    assert!(before.iter().all(|item| after.contains(item)), "what existed is untouched");
    assert_eq!(after.len(), 300);
    let again = plugin.service().retry_failed_jobs(1).await;
    assert!(matches!(again, Err(BatchError::NotAllowed(_))), "{again:?}");
    plugin.stop().await
}

#[rocket::async_test]
async fn what_an_item_writer_refuses_is_set_aside_in_its_words() -> TestResult {
    let writer = keep_but(|| Err("fifty-seven has no shelf".into()));
    let plugin = Plugin::attach(Batch::fairing().public().configure(eager).sqlite_item_writer(writer)).await?;
    plugin.sql(MINE)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    let progress = plugin.until_over(1).await?;

    assert_eq!((progress.status, progress.items_created), (BatchStatus::Failed, 250));
    let failed = plugin.service().failed_jobs(1, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("one failed job, please".into()) };
    let [chunk] = &job.failed_chunks[..] else { return Err("one chunk, please".into()) };
    assert_eq!((job.attempts, chunk.from, chunk.to, chunk.tries), (3, 50, 99, 3));
    assert_eq!(chunk.error, "fifty-seven has no shelf");
    assert_eq!(kept(&plugin)?, 250);
    plugin.stop().await
}

/// 300 such jobs made one answer of 64 MB, and four answers at once took 443 MB of memory.
#[rocket::async_test]
async fn a_job_whose_every_chunk_fails_for_a_reason_of_its_own_keeps_the_first_ones() -> TestResult {
    let refuse = |_: &Connection, items: &[NewItemRow<'_>]| {
        Err::<(), BoxError>(format!("item {} is not welcome, {}", items[0].ordinal, "sorry ".repeat(300)).into())
    };
    let once = |config: &mut Config| {
        eager(config);
        config.chunk_size = 1;
        config.chunk_tries = 1;
        config.generate.attempts = 1;
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(once).sqlite_item_writer(refuse)).await?;

    plugin.service().create_product_items_async(1, 6_000, jobs_of(100)).await?;
    plugin.until_over(1).await?;

    let (mut seen, mut query) = (0, PageQuery { limit: Some(1_000), ..PageQuery::default() });
    loop {
        let page = plugin.service().failed_jobs(1, query.clone()).await?;
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

/// A hundred jobs a second may begin, so the last batch runs for at least six.
#[rocket::async_test]
async fn history_is_removed_while_other_batches_run() -> TestResult {
    let plugin = Plugin::start(|config| {
        eager(config);
        config.generate.rate_limit = "100 per 1s".parse().expect("it is a rate");
        config.keep_history = KeepSetting(Some(Duration::from_secs(1)));
    })
    .await?;
    plugin.sql(REFUSE_57)?;
    let service = plugin.service();
    service.create_product_items_async(1, 300, jobs_of(100)).await?;
    service.create_product_items_async(2, 50, jobs_of(1)).await?;
    service.create_product_items_async(3, 50, jobs_of(10)).await?;
    service.pause(3).await?;
    let over = [plugin.until_over(1).await?, plugin.until_over(2).await?];
    plugin.sql("DROP TRIGGER refuse")?;
    service.create_product_items_async(4, 600, jobs_of(1)).await?;

    plugin.until_it_is("SELECT count(*) FROM batch_jobs WHERE batch <= 2", 0).await?;

    let running = service.get_batch_job_progress(4).await?;
    assert_eq!((running.status, running.total), (BatchStatus::Running, 600));
    for before in over {
        let id = before.batch_id.get();
        assert!(service.batch(id).await?.history_removed);
        assert_eq!(service.get_batch_job_progress(id).await?, before);
        assert_eq!(plugin.items(id).await?.len() as u64, before.items_created);
        let failed = service.failed_jobs(id, PageQuery::default()).await;
        assert!(matches!(failed, Err(BatchError::HistoryRemoved(batch)) if batch.get() == id), "{failed:?}");
    }
    let retried = service.retry_failed_jobs(1).await;
    assert!(matches!(retried, Err(BatchError::HistoryRemoved(_))), "{retried:?}");
    assert_eq!(plugin.number("SELECT count(*) FROM batch_jobs WHERE batch = 3")?, 5);
    service.resume(3).await?;
    for (id, items) in [(3, 50), (4, 600)] {
        let progress = plugin.until_over(id).await?;
        assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, items));
    }
    plugin.stop().await
}

/// Nothing else writes here, so it is the removal that waits.
#[rocket::async_test]
async fn history_waits_for_the_database_and_nobody_waits_for_history() -> TestResult {
    let plugin = Plugin::start(|config| {
        eager(config);
        config.keep_history = KeepSetting(Some(Duration::from_secs(1)));
    })
    .await?;
    let waits = |progress: &rocket_batch::Progress| progress.waiting_for == Some(WaitingFor::Database);
    let outsider = plugin.connection()?;
    for batch in [1, 2] {
        plugin.service().create_product_items_async(batch, 300, jobs_of(100)).await?;
        plugin.until_over(batch).await?;
        outsider.execute_batch("BEGIN IMMEDIATE")?;
        plugin.until(batch, waits).await?;
        if batch == 1 {
            outsider.execute_batch("COMMIT")?;
            plugin.until_it_is("SELECT count(*) FROM batch_jobs", 0).await?;
            plugin.until(batch, |progress| !waits(progress)).await?;
        }
    }

    let began = Instant::now();
    let home = plugin.stop_and_keep().await?;

    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    outsider.execute_batch("COMMIT")?;
    assert_eq!(home.number("SELECT count(*) FROM batch_jobs WHERE batch = 2")?, 3);
    Ok(())
}

/// A panic on the thread that writes for all: the attempt fails with its message, everybody else
/// goes on.
#[rocket::async_test]
async fn an_item_writer_that_panics_fails_the_attempt_and_nothing_else() -> TestResult {
    let writer = keep_but(|| panic!("fifty-seven fell off the shelf"));
    let plugin = Plugin::attach(Batch::fairing().public().configure(eager).sqlite_item_writer(writer)).await?;
    plugin.sql(MINE)?;

    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.service().create_product_items_async(2, 50, jobs_of(50)).await?;
    let (panicked, bystander) = (plugin.until_over(1).await?, plugin.until_over(2).await?);

    assert_eq!((panicked.status, panicked.items_created), (BatchStatus::Failed, 250));
    let failed = plugin.service().failed_jobs(1, PageQuery::default()).await?.items;
    let [job] = &failed[..] else { return Err("one failed job, please".into()) };
    assert_eq!(job.attempts, 3);
    assert_eq!(job.error, "could not insert items: panicked: fifty-seven fell off the shelf");
    assert_eq!((bystander.status, bystander.items_created), (BatchStatus::Completed, 50));
    assert_eq!(kept(&plugin)?, 300);
    plugin.stop().await
}

#[rocket::async_test]
async fn of_two_retries_at_once_one_finds_nothing() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.sql(REFUSE_57)?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.until_over(1).await?;

    let (one, two) = tokio::join!(plugin.service().retry_failed_jobs(1), plugin.service().retry_failed_jobs(1));

    let nothing = |retry: &Result<_, BatchError>| matches!(retry, Err(BatchError::NothingToRetry(_)));
    assert_eq!([&one, &two].into_iter().filter(|retry| retry.is_ok()).count(), 1, "{one:?} {two:?}");
    assert_eq!([&one, &two].into_iter().filter(|retry| nothing(retry)).count(), 1, "{one:?} {two:?}");
    plugin.stop().await
}

#[rocket::async_test]
async fn a_chunk_that_heals_in_time_costs_no_attempt() -> TestResult {
    let plugin = Plugin::start(|config| {
        eager(config);
        config.chunk_tries = 100;
    })
    .await?;
    plugin.sql(REFUSE_57)?;
    plugin.service().create_product_items_async(1, 100, jobs_of(100)).await?;
    plugin.until(1, |progress| progress.items_created == 50).await?;

    plugin.sql("DROP TRIGGER refuse")?;

    assert_eq!(plugin.until_over(1).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.number("SELECT sum(attempts) FROM batch_jobs")?, 0);
    plugin.stop().await
}

#[rocket::async_test]
async fn while_the_database_is_away_work_waits_and_spends_nothing() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    let outside = plugin.connection()?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(1_000)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;

    outside.execute_batch("BEGIN IMMEDIATE")?;
    let progress = plugin.until(1, |progress| progress.waiting_for == Some(WaitingFor::Database)).await?;
    assert_eq!(progress.status, BatchStatus::Running);
    outside.execute_batch("ROLLBACK")?;

    let progress = plugin.until_over(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 100_000));
    assert_eq!(progress.waiting_for, None);
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM batch_jobs")?, 0);
    plugin.stop().await
}

#[rocket::async_test]
async fn nothing_lands_after_a_cancel() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.service().create_product_items_async(1, 200_000, jobs_of(1_000)).await?;
    plugin.service().create_product_items_async(2, 1_000, jobs_of(100)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;

    let batch = plugin.service().cancel(1).await?;

    let rows = "SELECT count(*) FROM batch_items WHERE batch = 1";
    assert_eq!(plugin.number(rows)?, i64::try_from(batch.items_created)?);
    assert_eq!((batch.status, batch.jobs.open()), (BatchStatus::Cancelled, 0));
    // The bystander's end says that the workers went on since.
    assert_eq!(plugin.until_over(2).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.number(rows)?, i64::try_from(batch.items_created)?);
    plugin.stop().await
}

#[rocket::async_test]
async fn a_paused_batch_rests_and_goes_on() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.service().create_product_items_async(1, 50_000, jobs_of(1_000)).await?;
    plugin.service().create_product_items_async(2, 1_000, jobs_of(100)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;

    let paused = plugin.service().pause(1).await?;
    assert_eq!(plugin.until_over(2).await?.status, BatchStatus::Completed);
    let resting = plugin.until(1, |progress| progress.jobs.active == 0).await?;
    assert_eq!((resting.status, resting.eta_seconds), (BatchStatus::Paused, None));
    assert_eq!(resting.items_created, paused.items_created);

    assert_eq!(plugin.service().resume(1).await?.status, BatchStatus::Running);
    let progress = plugin.until_over(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 50_000));
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM batch_jobs")?, 0);
    plugin.stop().await
}

/// Once, a room of fewer than a hundred jobs was only filled up at each interval.
#[rocket::async_test]
async fn jobs_beyond_the_room_of_the_queue_follow_without_delay() -> TestResult {
    for room in [1, 3, 120] {
        let plugin = Plugin::start(move |config| {
            eager(config);
            config.queued_per_batch = room;
            config.feed_interval = Duration::from_secs(3_600);
        })
        .await?;

        plugin.service().create_product_items_async(1, 200, jobs_of(1)).await?;

        assert_eq!(plugin.until_over(1).await?.status, BatchStatus::Completed, "with room for {room}");
        plugin.stop().await?;
    }
    Ok(())
}

/// More than the queue has room for, so that most of them wait in the ledger alone.
#[rocket::async_test]
async fn jobs_in_a_long_backoff_keep_nobody_out_and_come_back_when_they_are_due() -> TestResult {
    let plugin = Plugin::start(|config| {
        eager(config);
        (config.queued, config.queued_per_batch) = (4, 4);
        config.generate.backoff = Duration::from_secs(4);
        config.feed_interval = Duration::from_secs(3_600);
    })
    .await?;
    plugin.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON batch_items WHEN new.batch = 1 BEGIN SELECT raise(ABORT, 'not now'); END",
    )?;
    plugin.service().create_product_items_async(1, 40, jobs_of(1)).await?;
    plugin.until(1, |progress| progress.jobs.delayed == 40).await?;

    plugin.service().create_product_items_async(2, 1, jobs_of(1)).await?;
    assert_eq!(plugin.until_over(2).await?.status, BatchStatus::Completed);
    assert_eq!(plugin.service().get_batch_job_progress(1).await?.jobs.delayed, 40, "it waited for none of them");

    plugin.sql("DROP TRIGGER refuse")?;
    let progress = plugin.until_over(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 40));
    plugin.stop().await
}

#[rocket::async_test]
async fn a_small_batch_is_not_kept_behind_a_large_one() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(100)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;

    plugin.service().create_product_items_async(2, 500, jobs_of(100)).await?;
    plugin.until_over(2).await?;

    let large = plugin.service().get_batch_job_progress(1).await?;
    assert!(large.percent < 60, "{large:?}");
    plugin.service().cancel(1).await?;
    plugin.stop().await
}

#[rocket::async_test]
async fn another_code_key_stops_the_batch_until_the_right_one_is_back() -> TestResult {
    let key = |key: &'static str| {
        move |config: &mut Config| {
            eager(config);
            config.code_key = Some(rocket_batch::config::Secret::new(key));
        }
    };
    let plugin = Plugin::start(key("00112233445566778899aabbccddeeff")).await?;
    plugin.service().create_product_items_async(1, 200_000, jobs_of(1_000)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;
    let home = plugin.stop_and_keep().await?;

    let plugin = Plugin::start_in(home, key("ffeeddccbbaa99887766554433221100")).await?;
    let progress = plugin.until_over(1).await?;
    assert_eq!(progress.status, BatchStatus::Failed);
    let failed = plugin.service().failed_jobs(1, PageQuery::default()).await?.items;
    assert!(failed[0].error.contains("another code key") && failed[0].attempts == 1, "{:?}", failed[0]);
    let home = plugin.stop_and_keep().await?;

    let plugin = Plugin::start_in(home, key("00112233445566778899aabbccddeeff")).await?;
    plugin.service().retry_failed_jobs(1).await?;
    let progress = plugin.until_over(1).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 200_000));
    plugin.stop().await
}

#[rocket::async_test]
async fn a_drain_gives_running_jobs_back() -> TestResult {
    let plugin = Plugin::start(eager).await?;
    plugin.service().create_product_items_async(1, 100_000, jobs_of(10_000)).await?;
    plugin.until(1, |progress| progress.items_created > 0).await?;

    let home = plugin.stop_and_keep().await?;

    let states = home.number("SELECT count(*) FROM batch_jobs WHERE state IN ('waiting', 'completed')")?;
    assert_eq!(states, 10);
    assert_eq!(home.number("SELECT sum(attempts) + sum(crashes) FROM batch_jobs")?, 0);
    let plugin = Plugin::start_in(home, eager).await?;
    assert_eq!(plugin.until_over(1).await?.items_created, 100_000);
    assert_eq!(plugin.number("SELECT sum(attempts) + sum(crashes) FROM batch_jobs")?, 0);
    plugin.stop().await
}

/// What hooks were told, in order.
type Heard<E> = Arc<Mutex<Vec<E>>>;

#[rocket::async_test]
async fn the_host_is_told_of_every_end() -> TestResult {
    let (batches, failed, completed): (Heard<BatchFinished>, Heard<JobEnded>, Heard<JobEnded>) = Default::default();
    let (b, f, c) = (batches.clone(), failed.clone(), completed.clone());
    let fairing = Batch::fairing()
        .public()
        .configure(eager)
        .on_batch_finished(move |end| hear(&b, end))
        .on_job_failed(move |end| hear(&f, end))
        .on_job_completed(move |end| hear(&c, end));
    let plugin = Plugin::attach(fairing).await?;
    plugin.sql(REFUSE_57)?;
    plugin.service().create_product_items_async(1, 300, jobs_of(100)).await?;
    plugin.service().create_product_items_async(2, 50, jobs_of(50)).await?;
    plugin.service().create_product_items_async(3, 1_000_000, jobs_of(1_000)).await?;
    plugin.service().cancel(3).await?;

    plugin.until_no_hook_is_left().await?;
    plugin.until_over(1).await?;
    plugin.until_over(2).await?;
    plugin.until_no_hook_is_left().await?;

    let status_of = |id: i64| {
        let heard = batches.lock().unwrap();
        heard.iter().filter(|end| end.batch_id.get() == id).map(|end| (end.status, end.failed_jobs)).collect::<Vec<_>>()
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

fn hear<E: Send>(heard: &Heard<E>, end: E) -> std::future::Ready<Result<(), String>> {
    heard.lock().unwrap().push(end);
    std::future::ready(Ok(()))
}

#[rocket::async_test]
async fn a_hook_that_fails_is_called_again_three_times_in_all() -> TestResult {
    let calls: [Arc<AtomicU32>; 3] = Default::default();
    let counted = calls.clone();
    let hook = move |end: BatchFinished| {
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
    let plugin = Plugin::attach(Batch::fairing().public().configure(eager).on_batch_finished(hook)).await?;

    for id in 1..=3 {
        plugin.service().create_product_items_async(id, 10, jobs_of(10)).await?;
    }
    for id in 1..=3 {
        plugin.until_over(id).await?;
    }
    plugin.until_no_hook_is_left().await?;

    assert_eq!(calls.each_ref().map(|calls| calls.load(SeqCst)), [3, 1, 3]);
    assert_eq!(plugin.number("SELECT count(*) FROM batch_hooks")?, 1, "the one that was given up is kept");
    assert_eq!(plugin.text("SELECT error FROM batch_hooks")?, "never");
    plugin.stop().await
}

#[rocket::async_test]
async fn a_slow_hook_holds_up_nothing_and_is_cut_off() -> TestResult {
    let hook = |end: BatchFinished| async move {
        if end.batch_id.get() == 1 {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(())
    };
    let slow = |config: &mut Config| {
        eager(config);
        config.hook_timeout = Duration::from_millis(200);
    };
    let plugin = Plugin::attach(Batch::fairing().public().configure(slow).on_batch_finished(hook)).await?;

    plugin.service().create_product_items_async(1, 10, jobs_of(10)).await?;
    plugin.until_over(1).await?;
    plugin.service().create_product_items_async(2, 10, jobs_of(10)).await?;
    plugin.until_over(2).await?;
    plugin.until_no_hook_is_left().await?;

    assert_eq!(plugin.text("SELECT error FROM batch_hooks")?, "did not answer within 200ms");
    plugin.stop().await
}

/// The host's row and its batch, in one transaction on the writer.
#[rocket::async_test]
async fn a_batch_that_a_host_asked_for_in_its_own_transaction_is_made() -> TestResult {
    let plugin = Plugin::start(|config| {
        eager(config);
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
    let progress = plugin.until_over(7).await?;

    assert!(matches!(nothing, Err(BatchError::NoSuchBatch(7))), "{nothing:?}");
    assert_eq!((progress.status, progress.total, progress.items_created), (BatchStatus::Completed, 3, 250));
    assert_eq!(plugin.number("SELECT count(*) FROM orders")?, 1);
    let items = plugin.items(7).await?;
    assert!(items.iter().all(|item| item.code.starts_with("QR-")), "{:?}", items[0]);
    assert_eq!(plugin.service().item_by_code(&items[0].code).await?, items[0]);
    plugin.stop().await
}
