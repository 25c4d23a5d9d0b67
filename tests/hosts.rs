//! Tests as a host's developer would write them: without servers, files or sleeps.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rocket::{
    Build, Rocket, error::ErrorKind, fairing::AdHoc, figment::Figment, http::Status, local::asynchronous::Client, post,
    routes, serde::json::Json,
};
use rocket_batch::{
    Batch, BatchAccepted, BatchDb, BatchError, BatchFinished, BatchService, BatchStatus, HookContext, ItemOptions,
    config,
};
use rocket_db_pools::{Connection, Database};
use support::{log::Log, plugin::service};
use tracing::level_filters::LevelFilter;

// Its tests run here. With `test = true` in `Cargo.toml` they would run without this module, but
// cargo would not build the example itself, which the life tests start.
#[cfg(feature = "postgres")]
#[expect(dead_code, reason = "its `main`")]
#[path = "../examples/orders.rs"]
mod orders;

/// Builds the host, in its tests and in its `main`.
fn shop() -> Rocket<Build> {
    rocket::build().attach(Batch::fairing().public()).mount("/", routes![fill])
}

#[post("/product-batches/<id>/items")]
async fn fill(id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
    let options = ItemOptions { qr_code_prefix: Some("QR".into()), ..Default::default() };
    Ok(Json(batches.create_product_items_async(id, 5_000, options).await?))
}

async fn under_test(shop: Rocket<Build>) -> Client {
    let settings = rocket::Config::figment().merge(("log_level", "off")).merge(config::testing());
    Client::tracked(shop.configure(settings)).await.expect("the shop ignites")
}

#[rocket::async_test]
async fn a_handler_of_the_host_creates_items() {
    let client = under_test(shop()).await;
    let batches = service(&client);

    let response = client.post("/product-batches/7/items").dispatch().await;
    assert_eq!(response.status(), Status::Ok);
    drop(response);

    let progress = batches.until_finished(7, Duration::from_secs(30)).await.unwrap();
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 5_000));
    client.terminate().await;
}

#[rocket::async_test]
async fn two_shops_do_not_share_a_ledger_in_memory() {
    let (one, two) = (under_test(shop()).await, under_test(shop()).await);
    let [one, two] = [&one, &two].map(service);

    one.create_product_items_async(7, 10, ItemOptions::default()).await.unwrap();

    assert!(matches!(two.batch(7).await, Err(BatchError::NoSuchBatch(7))));
}

#[rocket::async_test]
async fn waiting_for_a_batch_times_out() {
    let client = under_test(shop()).await;
    let batches = service(&client);
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let waited = batches.until_finished(1, Duration::from_millis(20)).await;

    let Err(BatchError::NotFinished(progress)) = waited else { panic!("{waited:?}") };
    assert_eq!(progress.status, BatchStatus::Paused);
    assert!(matches!(batches.until_finished(2, Duration::ZERO).await, Err(BatchError::NoSuchBatch(2))));
}

#[rocket::async_test]
async fn waiting_for_a_batch_ends_when_it_is_cancelled() {
    let client = under_test(shop()).await;
    let batches = service(&client);
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let (progress, cancelled) = tokio::join!(batches.until_finished(1, Duration::from_secs(30)), batches.cancel(1));

    assert_eq!(progress.unwrap().status, BatchStatus::Cancelled);
    assert_eq!(cancelled.unwrap().status, BatchStatus::Cancelled);
}

/// A new user sees in one line where the batches are, who works on them, and why they are slow.
#[tokio::test]
async fn the_launch_logs_one_summary() {
    let without_limit = rocket::Config::figment().merge(config::testing());
    let with_limit = without_limit.clone().merge(("batch.generate.rate_limit", "5 per 10s"));

    let line = summary(with_limit.clone()).await;
    for part in [
        "INFO",
        "batch workers started",
        "ledger=SQLite in memory",
        "queue=in this process",
        "role=all",
        "concurrency=2",
        "rate_limit=at most 5 jobs, 500 items, per 10 s: `generate.rate_limit`",
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(summary(without_limit).await.contains("rate_limit=no rate limit"));
    let of_web = summary(with_limit.merge(("batch.role", "web"))).await;
    assert!(of_web.contains("without workers") && of_web.contains("role=web"), "{of_web}");
    assert!(!of_web.contains("rate_limit"), "a process without workers starts no jobs: {of_web}");
}

/// Returns the only line that says where the ledger is.
async fn summary(settings: Figment) -> String {
    let (log, guard) = Log::of_this_thread();
    let client = Client::tracked(shop().configure(settings)).await.expect("the shop ignites");
    let batches = service(&client);
    batches.create_product_items_async(1, 1, ItemOptions::default()).await.unwrap();
    // The workers log their start before they work.
    let _ = batches.until_finished(1, Duration::from_millis(500)).await;
    client.terminate().await;
    drop(guard);
    let text = log.text();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("ledger=")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

/// Rocket runs the other fairings of the host after a failed one. Its message for the missing
/// database was to attach `BatchDb::init()`.
#[rocket::async_test]
async fn a_failed_launch_logs_only_its_cause() {
    let log = Log::of_this_process(LevelFilter::INFO);
    let migrate = AdHoc::try_on_ignite("Migrations", |rocket| async {
        if BatchDb::fetch(&rocket).is_some() { Ok(rocket) } else { Err(rocket) }
    });
    let settings = rocket::Config::figment().merge(config::testing()).merge(("batch.chunk_size", 0));
    let shop = shop().configure(settings).attach(migrate).mount("/", routes![count]);

    let failed = Client::tracked(shop).await.expect_err("the launch must fail");

    assert!(matches!(failed.kind(), ErrorKind::FailedFairings(_)), "{failed}");
    let text = log.text();
    assert!(text.contains("`batch.chunk_size` must be 1 to 10000"), "{text}");
    for wrong in ["unattached", "init()", "not attached"] {
        assert!(!text.contains(wrong), "{text}");
    }
}

#[rocket::async_test]
async fn a_handler_without_the_fairing_logs_how_to_attach_it() {
    let log = Log::of_this_process(LevelFilter::INFO);

    let failed = Client::tracked(rocket::build().mount("/", routes![count])).await.expect_err("it must fail");

    assert!(matches!(failed.kind(), ErrorKind::SentinelAborts(_)), "{failed}");
    let text = log.text();
    assert!(text.contains("add `.attach(Batch::fairing()") && !text.contains("init()"), "{text}");
}

#[rocket::get("/count")]
async fn count(db: Connection<BatchDb>, _batches: BatchService) -> Option<String> {
    let sql = "SELECT count(*) FROM batch_items";
    let count = db.sqlite().ok()?.interact(|conn| conn.query_row(sql, [], |row| row.get::<_, i64>(0)));
    Some(count.await.ok()?.to_string())
}

#[rocket::async_test]
async fn waiting_for_hooks_ends_when_the_last_one_was_called() {
    let calls = Arc::new(AtomicU64::new(0));
    let counter = calls.clone();
    let hook = move |_: BatchFinished, _: HookContext| {
        let counter = counter.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            match counter.fetch_add(1, SeqCst) {
                0 => Err("the first call fails"),
                _ => Ok(()),
            }
        }
    };
    let client = under_test(rocket::build().attach(Batch::fairing().public().on_batch_finished(hook))).await;
    let batches = service(&client);
    batches.create_product_items_async(7, 300, ItemOptions::default()).await.unwrap();

    batches.until_finished(7, Duration::from_secs(30)).await.unwrap();
    let early = batches.until_hooks_done(7, Duration::from_millis(20)).await;
    let progress = batches.until_hooks_done(7, Duration::from_secs(30)).await.unwrap();

    let Err(BatchError::HooksPending { batch_id, open }) = early else { panic!("{early:?}") };
    assert_eq!((batch_id.get(), open), (7, 1));
    assert_eq!((progress.status, calls.load(SeqCst)), (BatchStatus::Completed, 2));
}

#[rocket::async_test]
async fn waiting_for_hooks_ends_when_the_last_one_was_given_up() {
    let hook = |_: BatchFinished, _: HookContext| async { Err::<(), _>("it always fails") };
    let client = under_test(rocket::build().attach(Batch::fairing().public().on_batch_finished(hook))).await;
    let batches = service(&client);
    batches.create_product_items_async(7, 300, ItemOptions::default()).await.unwrap();

    let progress = batches.until_hooks_done(7, Duration::from_secs(30)).await.unwrap();

    assert_eq!(progress.status, BatchStatus::Completed);
    let unknown = batches.until_hooks_done(8, Duration::ZERO).await;
    assert!(matches!(unknown, Err(BatchError::NoSuchBatch(8))), "{unknown:?}");
}

#[rocket::async_test]
async fn waiting_for_hooks_of_an_unfinished_batch_times_out() {
    let client = under_test(shop()).await;
    let batches = service(&client);
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let waited = batches.until_hooks_done(1, Duration::from_millis(20)).await;

    assert!(matches!(waited, Err(BatchError::NotFinished(_))), "{waited:?}");
}
