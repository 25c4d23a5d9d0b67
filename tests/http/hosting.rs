//! The service and its errors in handlers of the host.

use rocket::{error::ErrorKind, get, local::asynchronous::Client, post, routes, serde::json::Json};
use rocket_batch::{BatchAccepted, BatchError, BatchService, ItemOptions, Progress};

use crate::shop::a_shop;

#[post("/product-batches/<id>/items?<quantity>")]
async fn fill(id: i64, quantity: u64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
    let options = ItemOptions { batch_size: 10, qr_code_prefix: Some("QR".into()), ..Default::default() };
    Ok(Json(batches.create_product_items_async(id, quantity, options).await?))
}

#[get("/product-batches/<id>")]
async fn look(id: i64, batches: BatchService) -> Result<Json<Progress>, BatchError> {
    Ok(Json(batches.get_batch_job_progress(id).await?))
}

#[rocket::async_test]
async fn a_handler_of_the_host_creates_a_batch_and_returns_problems() {
    let shop = a_shop().open_with(|rocket| rocket.mount("/", routes![fill, look])).await;

    let accepted = shop.post_empty("/product-batches/5/items?quantity=30").await;
    assert_eq!((accepted.status, &accepted.json()["jobsCreated"]), (200, &3.into()));
    shop.until_it_is(5, "completed").await;
    assert_eq!(shop.get("/product-batches/5").await.json()["percent"], 100);

    assert_eq!(shop.post_empty("/product-batches/5/items?quantity=30").await.problem(409, &["batch 5"])["batchId"], 5);
    shop.post_empty("/product-batches/6/items?quantity=0").await.problem(422, &["`quantity`", "is 0"]);
    shop.post_empty("/product-batches/0/items?quantity=1").await.problem(422, &["`batchId`", "is 0"]);
    shop.get("/product-batches/6").await.problem(404, &["batch 6"]);
    let own = shop.get("/product-batches/six").await;
    assert_ne!(own.content_type.as_deref(), Some("application/problem+json"), "the host's own refusal stays its own");
}

#[get("/<_..>", rank = 0)]
fn late_page() -> &'static str {
    "a page of the host"
}

#[get("/<_..>")]
fn any_page() -> &'static str {
    "a page of the host"
}

#[get("/<_>/about")]
fn about() -> &'static str {
    "about the host"
}

/// Rocket gives `/<id>` the rank of a catch-all, whatever the base. Their collision once made the
/// launch fail.
#[rocket::async_test]
async fn routes_of_the_host_do_not_collide_with_those_of_the_crate() {
    let shop = a_shop().open_with(|rocket| rocket.mount("/", routes![any_page, late_page, about])).await;
    shop.batch(1, 10).await;

    assert_eq!(shop.get("/batches/1").await.expect(200)["batchId"], 1);
    shop.get("/batches/about").await.problem(404, &["batch `about`"]);
    assert_eq!(shop.get("/en/about").await.body, "about the host");
    assert_eq!(shop.get("/en/shelf").await.body, "a page of the host");
}

#[rocket::async_test]
async fn fetch_returns_the_service_of_a_rocket() {
    let shop = a_shop().without_workers().open().await;

    let service = BatchService::fetch(shop.client.rocket()).expect("the fairing manages it");

    assert!(service.is_ready());
    let id = service.create_product_items_async(None, 10, service.default_options()).await.unwrap().batch_id;
    assert_eq!(shop.status(id.get()).await, "pending");
}

#[rocket::async_test]
async fn the_launch_fails_without_the_fairing() {
    let rocket = rocket::custom(rocket::Config::figment().merge(("log_level", "off"))).mount("/", routes![fill]);

    let error = Client::untracked(rocket).await.expect_err("the launch must fail");

    assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error}");
}

#[rocket::async_test]
async fn the_launch_fails_with_the_fairing_attached_twice() {
    let (rocket, _folder) = a_shop().rocket();

    let error = Client::untracked(rocket.attach(rocket_batch::Batch::fairing().public())).await.expect_err("must fail");

    assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error}");
}
