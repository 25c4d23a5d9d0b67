//! The health probes.

use rocket_batch::Batch;
use serde_json::json;

use crate::shop::{Admin, Shop, from, guarded_by};

async fn a_guarded_shop() -> Shop {
    guarded_by(Batch::fairing().guard::<Admin>()).open().await
}

#[rocket::async_test]
async fn a_probe_needs_no_credentials() {
    let shop = a_guarded_shop().await;

    assert_eq!(shop.get("/batches/health/live").await.expect(200), json!({ "status": "ok" }));
    assert_eq!(shop.get("/batches/health/ready").await.expect(200), json!({ "ready": true }));
}

#[rocket::async_test]
async fn readiness_problems_are_shown_only_to_callers_who_may_read() {
    let shop = a_guarded_shop().await;
    let as_admin = || shop.client.get("/batches/health/ready").header(from("admin"));
    let as_guest = || shop.client.get("/batches/health/ready").header(from("guest"));

    assert_eq!(shop.ask(as_admin()).await.expect(200), json!({ "ready": true, "problems": [] }));

    shop.client.rocket().shutdown().notify();
    let stranger = shop.until_answered("/batches/health/ready", 503).await;
    assert_eq!(stranger.expect(503), json!({ "ready": false }));
    assert_eq!(shop.ask(as_guest()).await.expect(503), json!({ "ready": false }));
    let readiness = shop.ask(as_admin()).await.expect(503);
    assert!(readiness["problems"][0].as_str().unwrap().contains("shutting down"), "{readiness}");
    assert_eq!(shop.get("/batches/health/live").await.status, 200);
}

#[rocket::async_test]
async fn a_process_with_the_role_worker_serves_only_the_probes_and_the_metrics() {
    let shop = guarded_by(Batch::fairing().public()).with("batch.role", "worker").open().await;

    let mut paths: Vec<_> = shop.client.rocket().routes().map(|route| route.uri.path().to_owned()).collect();
    paths.sort();

    let mut expected = vec!["/batches/health/live", "/batches/health/ready"];
    expected.extend(cfg!(feature = "prometheus").then_some("/batches/metrics"));
    assert_eq!(paths, expected);
    shop.get("/batches/health/live").await.expect(200);
    shop.get("/batches/health/ready").await.expect(200);
    shop.get("/batches").await.problem(404, &["/batches"]);
    shop.post("/batches", json!({ "quantity": 1 })).await.problem(404, &["/batches"]);
}
