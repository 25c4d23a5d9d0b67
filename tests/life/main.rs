//! The example host as a real process that is killed and stopped from outside, and the state of its
//! database afterwards.
//!
//! Needs `--cfg rocket_batch_failpoints`, which `.cargo/config.toml` sets: named points at which
//! the example stops, so that it can be killed exactly there. Cargo builds the example beside the
//! tests.

#[cfg(feature = "redis")]
mod compose;
#[cfg(feature = "redis")]
mod drain;
mod launch;
mod orders;
mod pair;
mod reconciliation;
#[cfg(feature = "redis")]
mod redis;
mod refused;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "redis")]
mod traces;
mod workers;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use orders::{
    an_order_is_incomplete_until_a_retry_writes_its_last_label, an_order_is_ready_if_and_only_if_its_batch_is_completed,
};
use reconciliation::a_check_continues_after_a_kill;
use reqwest::Method;
use serde_json::{Value, json};
use support::{
    TestResult,
    host::{Home, Host, Store},
};

/// Tests that run with a ledger in either database.
macro_rules! on_each_ledger {
    ($($module:ident: $store:expr, $($test:ident)*;)*) => { $(
        mod $module {
            use super::{Store, TestResult};

            $(
                #[tokio::test]
                async fn $test() -> TestResult {
                    super::$test($store).await
                }
            )*
        }
    )* };
}

on_each_ledger! {
    sqlite: Store::Sqlite,
        completes_a_batch_despite_twenty_kills uses_up_nothing_at_a_stop_in_the_middle
        takes_over_on_standby_when_the_leader_dies records_the_changes_of_two_processes_in_order
        counts_no_crash_after_all_items_are_inserted
        completes_without_an_item_writer_despite_kills_between_statements
        an_order_is_ready_if_and_only_if_its_batch_is_completed
        an_order_is_incomplete_until_a_retry_writes_its_last_label
        a_check_continues_after_a_kill;
    postgres: Store::Postgres,
        completes_a_batch_despite_twenty_kills uses_up_nothing_at_a_stop_in_the_middle
        takes_over_on_standby_when_the_leader_dies records_the_changes_of_two_processes_in_order
        counts_no_crash_after_all_items_are_inserted
        completes_without_an_item_writer_despite_kills_between_statements
        an_order_is_ready_if_and_only_if_its_batch_is_completed
        an_order_is_incomplete_until_a_retry_writes_its_last_label
        a_check_continues_after_a_kill;
}

/// Twenty SIGKILLs in the middle of a batch: at random times, and at each named point. No item is
/// missing, and none is generated twice.
async fn completes_a_batch_despite_twenty_kills(store: Store) -> TestResult {
    complete_despite_twenty_kills(&Home::on(store)?).await
}

async fn complete_despite_twenty_kills(home: &Home) -> TestResult {
    const POINTS: [&str; 3] = ["before-finish", "before-acknowledge", "before-hook"];
    const LARGE: i64 = 100_000;
    let mut rng = fastrand::Rng::with_seed(support::seed());
    let left = "SELECT coalesce(sum(quantity - created), 0) FROM rocket_batch_jobs";
    let mut batches = Vec::new();

    for kill in 0..20 {
        let point = (kill % 2 == 1).then(|| POINTS[kill / 2 % POINTS.len()]);
        let mut host = home.start_at(point).await?;
        // There is always more work than one process completes before its kill. Each process also
        // gets a short batch, so that batches finish and hooks are due all the time.
        if home.count(left).await? < LARGE {
            batches.push((host.post(&json!({ "quantity": LARGE, "batchSize": 200 })).await?, LARGE));
        }
        batches.push((host.post(&json!({ "quantity": 300 })).await?, 300));
        match point {
            Some(point) => host.until_printed(&format!("failpoint {point} reached")).await?,
            None => tokio::time::sleep(Duration::from_millis(rng.u64(20..600))).await,
        }
        host.kill().await?;
        assert!(home.count(left).await? > 0, "kill {kill} came too late");
    }

    let host = home.start().await?;
    for (batch, quantity) in batches {
        is_complete(&host, batch, quantity).await?;
    }
    host.terminate().await?;
    home.the_shop_has_every_item().await?;
    home.check_integrity()
}

/// Without an item writer a job is two statements: one claims it and inserts its first chunk, the
/// other inserts its last chunk and completes it.
async fn completes_without_an_item_writer_despite_kills_between_statements(store: Store) -> TestResult {
    const POINTS: [&str; 4] = ["after-first-chunk", "before-insert", "before-acknowledge", "after-first-chunk"];
    const JOBS: i64 = 200;
    let home = Home::on(store)?.with("ROCKET_BATCH__GENERATE__RATE_LIMIT", "off");
    let mut batches = Vec::new();

    for kill in 0..12 {
        let point = POINTS[kill % POINTS.len()];
        let mut host = home.start_example("minimal", &[("ROCKET_BATCH_FAILPOINT", point)]).await?;
        batches.push(host.post(&json!({ "quantity": JOBS * 100 })).await?);
        host.until_printed(&format!("failpoint {point} reached")).await?;
        host.kill().await?;
    }

    let host = home.start_example("minimal", &[]).await?;
    for batch in batches {
        let progress = host.until_finished(batch, Duration::from_secs(120)).await?;
        assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(JOBS * 100)));
        let exact = format!(
            "SELECT count(*) * 1000000 + count(DISTINCT ordinal) - count(DISTINCT code) FROM rocket_batch_items
                WHERE batch = {batch}"
        );
        assert_eq!(home.count(&exact).await?, JOBS * 100 * 1_000_000);
    }
    assert_eq!(home.count("SELECT count(*) FROM rocket_batch_jobs WHERE attempts > 0").await?, 0);
    host.terminate().await?;
    home.check_integrity()
}

/// Waits until a batch is finished. Checks that every item exists once and that the hook was
/// called.
async fn is_complete(host: &Host, batch: i64, quantity: i64) -> TestResult {
    let progress = host.until_finished(batch, Duration::from_secs(120)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(quantity)));
    let items = host.items(batch).await?;
    let ordinals: HashSet<_> = items.iter().map(|item| item["ordinal"].as_u64()).collect();
    let codes: HashSet<_> = items.iter().map(|item| item["code"].as_str()).collect();
    assert_eq!([items.len(), ordinals.len(), codes.len()], [usize::try_from(quantity)?; 3]);
    host.until_the_hook_was_called(batch).await
}

/// The item writer of the shop fails on demand. Its chunk fails, the others are inserted, and a
/// retry generates the missing items.
#[tokio::test]
async fn reports_a_shortage_of_the_shop_and_retries_it() -> TestResult {
    let home = Home::new()?;
    let host = home.start().await?;
    host.send(Method::POST, "/shortage/57").await?;
    let batch = host.post(&json!({ "quantity": 2_000, "batchSize": 1_000 })).await?;

    let progress = host.until_finished(batch, Duration::from_secs(60)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("failed"), &json!(1_500)));
    home.the_shop_has_every_item().await?;
    let failed = host.get(&format!("/batches/{batch}/failed-jobs")).await?;
    let chunk = json!({ "from": 0, "to": 499, "tries": 3, "error": "out of labels at 57" });
    assert_eq!(failed["items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&failed["items"][0]["attempts"], &failed["items"][0]["failedChunks"]), (&json!(3), &json!([chunk])));

    host.send(Method::DELETE, "/shortage").await?;
    let report = host.send(Method::POST, &format!("/batches/{batch}/retry")).await?;
    let progress = host.until_finished(batch, Duration::from_secs(60)).await?;

    assert!(report.contains(&format!("b{batch}-j0-g1")), "{report}");
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(2_000)));
    assert_eq!(home.count("SELECT count(*) FROM products").await?, 2_000);
    home.the_shop_has_every_item().await?;
    host.terminate().await?;
    Ok(())
}

/// Two processes serve; one of them works. Each change is in the audit once, in order, and both
/// processes read the same. A kill loses none.
async fn records_the_changes_of_two_processes_in_order(store: Store) -> TestResult {
    let home = Home::on(store)?;
    let mut first = home.start().await?;
    let second = home.start().await?;
    first.send(Method::POST, "/shortage/57").await?;
    let batch = second.post(&json!({ "quantity": 20_000, "batchSize": 1_000 })).await?;
    let bystander = first.post(&json!({ "quantity": 10 })).await?;
    let change =
        async |host: &Host, command: &str| host.send(Method::POST, &format!("/batches/{batch}/{command}")).await;

    change(&second, "pause").await?;
    change(&first, "resume").await?;
    let progress = second.until_finished(batch, Duration::from_secs(60)).await?;
    assert_eq!(progress["status"], "failed");
    assert!(change(&first, "pause").await.is_err(), "a failed batch can't be paused");
    change(&second, "retry").await?;
    change(&first, "cancel").await?;
    let audit = first.get(&format!("/batches/{batch}/audit")).await?;
    first.kill().await?;

    let entries = audit["items"].as_array().ok_or("no list")?;
    let actions: Vec<_> = entries.iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["created", "paused", "resumed", "retried", "cancelled"]);
    let before: Vec<_> = entries[1..].iter().filter_map(|entry| entry["details"]["statusBefore"].as_str()).collect();
    assert!(matches!(before[0], "pending" | "running"), "{before:?}");
    assert_eq!(before[1..], ["paused", "failed", "running"]);
    assert_eq!(entries[3]["details"]["found"], 1);
    assert_eq!(second.get(&format!("/batches/{batch}/audit")).await?, audit);
    let created = second.get("/batches/audit?action=created").await?;
    assert_eq!([&created["items"][0]["batchId"], &created["items"][1]["batchId"]], [batch, bystander]);
    second.terminate().await?;
    Ok(())
}

/// SIGTERM releases running jobs. It counts neither an attempt nor a crash.
async fn uses_up_nothing_at_a_stop_in_the_middle(store: Store) -> TestResult {
    let home = Home::on(store)?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 300_000, "batchSize": 2_000 })).await?;
    host.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;

    let started = Instant::now();
    let status = host.terminate().await?;

    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(26), "{:?}", started.elapsed());
    assert!(
        home.count("SELECT coalesce(sum(created), 0) FROM rocket_batch_jobs").await? < 300_000,
        "the stop came too late"
    );
    assert_eq!(home.count("SELECT count(*) FROM rocket_batch_jobs WHERE state = 'active'").await?, 0);
    let host = home.start().await?;
    let progress = host.until_finished(batch, Duration::from_secs(120)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(300_000)));
    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    host.terminate().await?;
    Ok(())
}

/// No further item is inserted that could reset the number of crashes.
async fn counts_no_crash_after_all_items_are_inserted(store: Store) -> TestResult {
    let home = Home::on(store)?;
    let mut first = home.start_at(Some("before-finish")).await?;
    let batch = first.post(&json!({ "quantity": 100 })).await?;
    first.until_printed("failpoint before-finish reached").await?;
    first.kill().await?;

    let second = home.start().await?;
    is_complete(&second, batch, 100).await?;

    assert_eq!(home.count("SELECT sum(attempts) + sum(crashes) FROM rocket_batch_jobs").await?, 0);
    assert_eq!(home.count("SELECT epoch FROM rocket_batch_jobs").await?, 2);
    second.terminate().await?;
    Ok(())
}

/// SIGTERM while nothing runs.
#[tokio::test]
async fn exits_at_once_when_idle() -> TestResult {
    let home = Home::new()?;
    let host = home.start().await?;

    let started = Instant::now();
    let status = host.terminate().await?;

    assert_eq!(status.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    Ok(())
}

/// Two processes with one ledger: one works, the other serves on standby and takes over when the
/// first one dies.
async fn takes_over_on_standby_when_the_leader_dies(store: Store) -> TestResult {
    let home = Home::on(store)?;
    let mut first = home.start().await?;
    let second = home.start().await?;
    second.until_printed("this process is on standby").await?;
    let batch = second.post(&json!({ "quantity": 300_000, "batchSize": 2_000 })).await?;
    first.until(batch, |progress| progress["itemsCreated"].as_u64() > Some(0)).await?;

    first.kill().await?;

    let progress = second.until_finished(batch, Duration::from_secs(120)).await?;
    assert_eq!((&progress["status"], &progress["itemsCreated"]), (&json!("completed"), &json!(300_000)));
    second.until_the_hook_was_called(batch).await?;
    second.terminate().await?;
    Ok(())
}

/// A panic in a worker fails the attempt with its message. The process continues.
#[tokio::test]
async fn fails_an_attempt_with_the_message_of_its_panic() -> TestResult {
    let home = Home::new()?;
    let host = home.start_at(Some("before-insert=panic")).await?;
    let batch = host.post(&json!({ "quantity": 100 })).await?;

    let progress = host.until_finished(batch, Duration::from_secs(60)).await?;

    assert_eq!(progress["status"], "failed", "{progress}");
    let failed = host.get(&format!("/batches/{batch}/failed-jobs")).await?;
    let job = &failed["items"][0];
    assert_eq!((&job["attempts"], &job["error"]), (&json!(3), &json!("panicked: failpoint before-insert")));
    host.until_the_hook_was_called(batch).await?;
    host.terminate().await?;
    Ok(())
}

/// By default five jobs start per ten seconds, and the estimate is correct to within a fifth.
#[tokio::test]
async fn keeps_and_estimates_the_default_rate() -> TestResult {
    let home = Home::with_the_specified_defaults()?;
    let host = home.start().await?;

    let started = Instant::now();
    let accepted = host.post_batch(&json!({ "quantity": 5_000 })).await?;
    let batch = accepted["batchId"].as_i64().ok_or("no id")?;
    host.until_finished(batch, Duration::from_secs(150)).await?;
    let took = started.elapsed().as_secs_f64();

    assert_eq!(accepted["jobsCreated"], 50);
    let estimated = accepted["estimatedSeconds"].as_f64().ok_or("no estimate")?;
    assert!((estimated - took).abs() <= took / 5.0, "estimated {estimated} s, took {took} s");
    assert_eq!(accepted["estimatedDuration"], json!(format!("{estimated} seconds")));
    let starts = home.starts(batch)?;
    assert_eq!(starts.len(), 50);
    // The ledger records a start slightly later than the queue permits it.
    for (n, (start, fifth)) in starts.iter().zip(&starts[5..]).enumerate() {
        assert!(fifth - start >= 9_000, "start {} came {} ms after start {n}", n + 5, fifth - start);
    }
    host.terminate().await?;
    Ok(())
}

/// Operators search the log for these messages.
#[tokio::test]
async fn logs_the_steps_of_a_batch() -> TestResult {
    let home = Home::with_the_specified_defaults()?;
    let host = home.start().await?;
    host.post(&json!({ "quantity": 200, "batchId": 123 })).await?;
    host.until_finished(123, Duration::from_secs(30)).await?;

    for line in [
        "Starting batch generation for batch 123, items 0-99",
        "Processed 50/100 items for batch 123",
        "Processed 100/100 items for batch 123",
        "Successfully generated 100 product items for batch 123",
        "Job b123-j0-g0 completed successfully for batch 123",
        "Starting batch generation for batch 123, items 100-199",
        "Batch 123 completed",
    ] {
        host.until_printed(line).await?;
    }
    host.terminate().await?;
    Ok(())
}

#[tokio::test]
async fn completes_a_large_batch_in_little_memory() -> TestResult {
    let home = Home::new()?;
    let host = home.start().await?;
    let batch = host.post(&json!({ "quantity": 400_000 })).await?;

    host.until_finished(batch, Duration::from_secs(180)).await?;

    let peak = host.peak_memory()?;
    assert!(peak < 100 << 20, "{} MB", peak >> 20);
    host.terminate().await?;
    Ok(())
}

/// The first requests of a developer.
#[tokio::test]
async fn prints_an_example_request_at_the_start() -> TestResult {
    let home = Home::new()?;
    let host = home.start().await?;

    host.until_printed("curl -X POST").await?;
    assert_eq!(host.get("/batches/health/ready").await?, json!({ "ready": true, "problems": [] }));
    let accepted: Value = host.fill(77).await?;

    assert_eq!((&accepted["batchId"], &accepted["jobsCreated"]), (&json!(77), &json!(50)));
    host.until_finished(77, Duration::from_secs(60)).await?;
    host.terminate().await?;
    Ok(())
}
