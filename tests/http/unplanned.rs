//! Batches that were requested in the database itself, before and after they are planned.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::shop::{Shop, a_shop};

/// Requests items with this batch id, as another process would in its own transaction.
fn request(shop: &Shop, id: i64, quantity: i64) {
    request_in_jobs(shop, id, quantity, None);
}

/// Requests items in at most `max_jobs` jobs.
fn request_in_jobs(shop: &Shop, id: i64, quantity: i64, max_jobs: Option<u32>) {
    let mut outsider = Connection::open(shop.database()).unwrap();
    outsider.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let transaction = outsider.transaction().unwrap();
    let row =
        "INSERT INTO batch_requests (batch_id, quantity, batch_size, max_jobs_per_batch) VALUES (?1, ?2, 100, ?3)";
    transaction.execute(row, (id, quantity, max_jobs)).unwrap();
    transaction.commit().unwrap();
}

/// Lets the database accept what the settings of this process forbid, as a process with other
/// settings does that started later.
fn accept_more(shop: &Shop) {
    let outsider = Connection::open(shop.database()).unwrap();
    outsider.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let raise = "UPDATE rocket_batch_settings SET value = 100000000 WHERE name LIKE 'max_%'";
    assert_eq!(outsider.execute(raise, []).unwrap(), 3);
}

const NO_JOBS: [&str; 6] = ["waiting", "active", "delayed", "completed", "failed", "cancelled"];

fn has_no_jobs(counts: &Value) {
    assert!(NO_JOBS.iter().all(|state| counts[state] == 0), "{counts}");
}

#[rocket::async_test]
async fn an_unplanned_batch_is_pending_without_jobs() {
    let shop = a_shop().without_workers().open().await;
    request(&shop, 7, 250);

    let batch = shop.get("/batches/7").await.expect(200);
    let progress = shop.get("/batches/7/progress").await.expect(200);

    assert_eq!((&batch["status"], &batch["quantity"], &batch["round"]), (&json!("pending"), &json!(250), &json!(0)));
    assert_eq!(batch["options"], json!({ "batchSize": 100, "qrCodePrefix": null, "maxJobsPerBatch": null }));
    has_no_jobs(&batch["jobs"]);
    has_no_jobs(&progress);
    assert_eq!(
        (&progress["total"], &progress["percent"], &progress["etaSeconds"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    let (pending, _) = shop.pages("/batches?status=pending", 10).await;
    assert_eq!(pending, [batch]);
    for list in ["items", "jobs", "failed-jobs"] {
        assert_eq!(shop.pages(&format!("/batches/7/{list}"), 10).await, (vec![], vec![0]), "{list}");
    }
    shop.post_empty("/batches/7/retry").await.problem(409, &["pending"]);
    let body = json!({ "quantity": 10, "batchId": 7 });
    shop.post("/batches", body).await.problem(409, &["batch 7 already exists"]);
}

#[rocket::async_test]
async fn an_unplanned_batch_can_be_cancelled_paused_and_resumed() {
    let shop = a_shop().without_workers().open().await;
    request(&shop, 7, 250);

    for (verb, status) in [("pause", "paused"), ("resume", "pending"), ("cancel", "cancelled")] {
        let batch = shop.post_empty(&format!("/batches/7/{verb}")).await.expect(200);
        assert_eq!(batch["status"], status);
        has_no_jobs(&batch["jobs"]);
    }
    let progress = shop.get("/batches/7/progress").await.expect(200);
    assert_eq!((&progress["total"], &progress["percent"], &progress["etaSeconds"]), (&json!(0), &json!(0), &json!(0)));
}

#[rocket::async_test]
async fn a_batch_that_can_not_be_planned_fails_with_the_reason() {
    let shop = a_shop().with("batch.feed_interval", "100ms").open().await;
    accept_more(&shop);
    request(&shop, 7, 20_000_000);
    request(&shop, 8, 250);

    let progress = shop.until_it_is(7, "failed").await;
    let batch = shop.get("/batches/7").await.expect(200);

    assert_eq!((&progress["total"], &progress["percent"], &progress["etaSeconds"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(batch["error"], "`quantity` must be 1 to 10000000, but is 20000000");
    assert!(batch["finishedAt"].is_string() && batch["startedAt"].is_null(), "{batch}");
    let (failed, _) = shop.pages("/batches/7/failed-jobs", 10).await;
    assert_eq!(failed, Vec::<Value>::new());
    let problem = shop.post_empty("/batches/7/retry").await.problem(409, &["batch 7 has no failed jobs to retry"]);
    assert_eq!(problem["report"]["found"], 0);
    shop.post_empty("/batches/7/cancel").await.problem(409, &["failed"]);
    let other = shop.until_it_is(8, "completed").await;
    assert_eq!((&other["total"], &other["itemsCreated"]), (&json!(3), &json!(250)));
}

#[rocket::async_test]
async fn a_batch_with_more_jobs_than_the_setting_allows_fails_with_the_reason() {
    let shop = a_shop().with("batch.max_jobs_per_batch", 10).with("batch.feed_interval", "100ms").open().await;
    accept_more(&shop);
    request_in_jobs(&shop, 7, 250, Some(11));
    request_in_jobs(&shop, 8, 250, Some(10));

    let progress = shop.until_it_is(7, "failed").await;
    let batch = shop.get("/batches/7").await.expect(200);
    let other = shop.until_it_is(8, "completed").await;

    assert_eq!(batch["error"], "`maxJobsPerBatch` must be 1 to 10, but is 11");
    has_no_jobs(&progress);
    assert_eq!((&other["total"], &other["itemsCreated"]), (&json!(3), &json!(250)));
}
