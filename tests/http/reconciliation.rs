//! Checks of items against the plan, and repairs.

use serde_json::json;

use crate::{
    shop::{Shop, a_shop},
    support::wait::{WAIT_TIMEOUT, until},
};

fn execute(shop: &Shop, sql: &str) {
    rusqlite::Connection::open(shop.database()).unwrap().execute_batch(sql).unwrap();
}

/// Deletes items behind the ledger's back.
pub fn delete_items(shop: &Shop, condition: &str) {
    execute(shop, &format!("DELETE FROM rocket_batch_items WHERE {condition}"));
}

#[rocket::async_test]
async fn a_repaired_batch_is_complete_again_with_the_same_codes() {
    let shop = a_shop().open().await;
    shop.batch(1, 30).await;
    shop.batch(2, 30).await;
    shop.until_it_is(1, "completed").await;
    shop.until_it_is(2, "completed").await;
    let items = |items: &[serde_json::Value]| items.iter().map(|item| item["code"].clone()).collect::<Vec<_>>();
    let before = items(&shop.pages("/batches/1/items", 100).await.0);
    delete_items(&shop, "batch = 1 AND ordinal IN (0, 8, 9, 10)");

    let report = shop.get("/batches/1/reconciliation").await.expect(200);
    let repair = shop.post_empty("/batches/1/reconciliation/repair").await.expect(200);
    shop.until_it_is(1, "completed").await;
    let after = shop.get("/batches/1/reconciliation?codes=true").await.expect(200);

    assert_eq!(report["gaps"], json!([{ "from": 0, "to": 0 }, { "from": 8, "to": 10 }]));
    assert_eq!((&report["state"], &report["missing"], &report["written"]), (&json!("finished"), &json!(4), &json!(26)));
    assert_eq!((&repair["found"], &repair["recreated"]), (&json!(4), &json!(2)));
    assert_eq!(repair["jobIds"], json!(["b1-j0-g1", "b1-j1-g1"]));
    assert_eq!(
        (&after["missing"], &after["codes"], &after["wrongCodesFound"]),
        (&json!(0), &json!("checked"), &json!(0))
    );
    assert_eq!(items(&shop.pages("/batches/1/items", 100).await.0), before);
    assert_eq!(shop.get("/batches/1").await.expect(200)["round"], 2);
    assert_eq!(shop.get("/batches/2").await.expect(200)["round"], 1);
    let problem = shop.post_empty("/batches/1/reconciliation/repair").await.problem(409, &["batch 1", "misses"]);
    assert_eq!(problem["type"], "urn:rocket-batch:nothing-to-repair");
    assert_eq!(problem["repair"]["found"], 0);
}

#[rocket::async_test]
async fn strangers_and_wrong_codes_are_reported_and_never_changed() {
    let shop = a_shop().open().await;
    shop.batch(1, 30).await;
    shop.until_it_is(1, "completed").await;
    execute(&shop, "UPDATE rocket_batch_items SET code = 'other' WHERE batch = 1 AND ordinal = 4");
    execute(&shop, "INSERT INTO rocket_batch_items VALUES (1, 30, 'x', 0), (1, 31, 'y', 0)");

    let report = shop.get("/batches/1/reconciliation?codes=true").await.expect(200);

    assert_eq!((&report["strangers"], &report["strangersFound"]), (&json!([{ "from": 30, "to": 31 }]), &json!(2)));
    assert_eq!((&report["wrongCodes"][0]["ordinal"], &report["wrongCodesFound"]), (&json!(4), &json!(3)));
    shop.post_empty("/batches/1/reconciliation/repair").await.problem(409, &["misses"]);
    assert_eq!(shop.pages("/batches/1/items", 100).await.0.len(), 32);
}

/// Its batch is too large for a request.
#[rocket::async_test]
async fn a_large_batch_is_checked_in_the_background() {
    let shop = a_shop().with("batch.chunk_size", 5_000).open().await;
    shop.post("/batches", json!({ "quantity": 100_001, "batchId": 1, "batchSize": 10_000 })).await.expect(202);
    shop.until_it_is(1, "completed").await;
    delete_items(&shop, "batch = 1 AND ordinal BETWEEN 59999 AND 60001");

    let first = shop.get("/batches/1/reconciliation").await;
    let is_finished = |reply: &crate::shop::Reply| reply.status == 200;
    let finished = until("it is checked", WAIT_TIMEOUT, || shop.get("/batches/1/reconciliation"), is_finished).await;
    let report = finished.unwrap().expect(200);
    let again = shop.get("/batches/1/reconciliation").await.expect(200);
    let new = shop.get("/batches/1/reconciliation?refresh=true").await.expect(202);

    assert_eq!(first.expect(202)["state"], "running");
    assert_eq!(report["gaps"], json!([{ "from": 59_999, "to": 60_001 }]));
    assert_eq!((&report["checkedItems"], &report["planned"]), (&json!(99_998), &json!(100_001)));
    assert_eq!(again, report, "a recent report is returned again");
    assert_eq!((&new["state"], &new["checkedAt"]), (&json!("running"), &json!(null)));
}

#[rocket::async_test]
async fn a_cancelled_batch_is_not_repaired() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(1, 30).await;
    shop.post_empty("/batches/1/cancel").await.expect(200);

    let report = shop.get("/batches/1/reconciliation").await.expect(200);
    let problem = shop.post_empty("/batches/1/reconciliation/repair").await.problem(409, &["cancelled", "repaired"]);

    assert_eq!((&report["cancelled"], &report["missing"]), (&json!(30), &json!(0)));
    assert_eq!(problem["type"], "urn:rocket-batch:not-allowed");
}
