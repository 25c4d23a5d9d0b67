//! A host's own tests, as its developer would write them: no server, no file, no sleep.

use std::time::Duration;

use rocket::{Build, Rocket, http::Status, local::asynchronous::Client, post, routes, serde::json::Json};
use rocket_batch::{Batch, BatchAccepted, BatchError, BatchService, BatchStatus, ItemOptions, config};

/// The host's one way to build itself.
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
async fn a_shop_is_filled() {
    let client = under_test(shop()).await;
    let batches = BatchService::fetch(client.rocket()).unwrap();

    let answer = client.post("/product-batches/7/items").dispatch().await;
    assert_eq!(answer.status(), Status::Ok);
    drop(answer);

    let progress = batches.until_over(7, Duration::from_secs(30)).await.unwrap();
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
async fn waiting_has_an_end_of_its_own() {
    let client = under_test(shop()).await;
    let batches = BatchService::fetch(client.rocket()).unwrap();
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let late = batches.until_over(1, Duration::from_millis(20)).await;

    let Err(BatchError::NotOver(progress)) = late else { panic!("{late:?}") };
    assert_eq!(progress.status, BatchStatus::Paused);
    assert!(matches!(batches.until_over(2, Duration::ZERO).await, Err(BatchError::NoSuchBatch(2))));
}

#[rocket::async_test]
async fn whoever_waits_hears_of_a_cancel() {
    let client = under_test(shop()).await;
    let batches = BatchService::fetch(client.rocket()).unwrap();
    batches.create_product_items_async(1, 100_000, ItemOptions::default()).await.unwrap();
    batches.pause(1).await.unwrap();

    let (progress, cancelled) = tokio::join!(batches.until_over(1, Duration::from_secs(30)), batches.cancel(1));

    assert_eq!(progress.unwrap().status, BatchStatus::Cancelled);
    assert_eq!(cancelled.unwrap().status, BatchStatus::Cancelled);
}
