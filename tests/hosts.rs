//! Tests as a host's developer would write them: without servers, files or sleeps.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use rocket::{
    Build, Rocket, figment::Figment, http::Status, local::asynchronous::Client, post, routes, serde::json::Json,
};
use rocket_batch::{Batch, BatchAccepted, BatchError, BatchService, BatchStatus, ItemOptions, config};
use tracing::instrument::WithSubscriber;

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
    let batches = BatchService::fetch(client.rocket()).unwrap();

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
    let [one, two] = [&one, &two].map(|client| BatchService::fetch(client.rocket()).unwrap());

    one.create_product_items_async(7, 10, ItemOptions::default()).await.unwrap();

    assert!(matches!(two.batch(7).await, Err(BatchError::NoSuchBatch(7))));
}

#[rocket::async_test]
async fn waiting_for_a_batch_times_out() {
    let client = under_test(shop()).await;
    let batches = BatchService::fetch(client.rocket()).unwrap();
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
    let batches = BatchService::fetch(client.rocket()).unwrap();
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let (progress, cancelled) = tokio::join!(batches.until_finished(1, Duration::from_secs(30)), batches.cancel(1));

    assert_eq!(progress.unwrap().status, BatchStatus::Cancelled);
    assert_eq!(cancelled.unwrap().status, BatchStatus::Cancelled);
}

/// A new user meets the default rate limit first, so the log says how to change it.
#[rocket::async_test]
async fn the_launch_logs_the_rate_limit_and_how_to_change_it() {
    let without_limit = rocket::Config::figment().merge(config::testing());
    let with_limit = without_limit.clone().merge(("batch.generate.rate_limit", "5 per 10s"));

    let lines = rate_limit_lines(with_limit.clone()).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["INFO", "5 per 10s", "`batch.generate.rate_limit`"] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
    assert!(rate_limit_lines(without_limit).await.is_empty());
    let of_web = rate_limit_lines(with_limit.merge(("batch.role", "web"))).await;
    assert!(of_web.is_empty(), "a process without workers starts no jobs: {of_web:?}");
}

async fn rate_limit_lines(settings: Figment) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let client =
        Client::tracked(shop().configure(settings)).with_subscriber(subscriber).await.expect("the shop ignites");
    client.terminate().await;
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains("rate limited")).map(str::to_owned).collect()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
