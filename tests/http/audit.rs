//! The audit: who changed which batch.

use std::net::IpAddr;

use rocket::{
    http::{ContentType, Header},
    routes,
};
use rocket_batch::{AuditAction, AuditQuery, Batch, BatchFairing, BatchService, PageQuery};
use serde_json::{Value, json};

use crate::shop::{Shop, a_shop, guarded_by};

/// Names the caller by the header `x-who`.
fn with_actors() -> BatchFairing {
    Batch::fairing().public().actor(|request| request.headers().get_one("x-who").map(str::to_owned))
}

async fn post_as(shop: &Shop, who: &'static str, path: &str, body: &Value) {
    let request = shop.client.post(path.to_owned()).header(ContentType::JSON).header(Header::new("x-who", who));
    let reply = shop.ask(request.body(body.to_string())).await;
    assert!((200..300).contains(&reply.status), "{reply:?}");
}

fn facts(page: &Value) -> Vec<(i64, &str, &str)> {
    let entries = page["items"].as_array().unwrap();
    let fact = |entry: &Value| entry["batchId"].as_i64().unwrap();
    entries
        .iter()
        .map(|entry| (fact(entry), entry["action"].as_str().unwrap(), entry["actor"].as_str().unwrap()))
        .collect()
}

async fn shop_with_two_batches() -> Shop {
    let shop = guarded_by(with_actors()).without_workers().open().await;
    post_as(&shop, "ann", "/batches", &json!({ "batchId": 1, "quantity": 30 })).await;
    shop.batch(2, 30).await;
    for (who, command) in [("bob", "pause"), ("ann", "resume"), ("bob", "cancel")] {
        let request = shop.client.post(format!("/batches/1/{command}")).header(Header::new("x-who", who));
        shop.ask(request).await.expect(200);
    }
    let refused = shop.client.post("/batches/1/cancel").header(Header::new("x-who", "ann"));
    shop.ask(refused).await.problem(409, &[]);
    shop
}

#[rocket::async_test]
async fn the_audit_of_a_batch_has_its_changes_in_order() {
    let shop = shop_with_two_batches().await;

    let page = shop.get("/batches/1/audit").await.expect(200);

    let expected = [(1, "created", "ann"), (1, "paused", "bob"), (1, "resumed", "ann"), (1, "cancelled", "bob")];
    assert_eq!(facts(&page), expected);
    assert_eq!(page["nextCursor"], Value::Null);
    assert_eq!(page["items"][0]["details"]["quantity"], 30);
    assert_eq!(page["items"][3]["details"], json!({ "statusBefore": "pending", "itemsCreated": 0 }));
    assert!(page["items"].as_array().unwrap().iter().all(|entry| entry["address"].is_null()), "{page}");
    assert_eq!(facts(&shop.get("/batches/2/audit").await.expect(200)), [(2, "created", "unknown")]);
    let (entries, sizes) = shop.pages("/batches/1/audit", 3).await;
    assert_eq!((Value::from(entries), sizes), (page["items"].clone(), vec![3, 1]));
    shop.get("/batches/3/audit").await.problem(404, &[]);
}

#[rocket::async_test]
async fn the_audit_is_searched() {
    let shop = shop_with_two_batches().await;
    let found = async |query: &str| facts(&shop.get(&format!("/batches/audit?{query}")).await.expect(200)).len();
    let all = shop.get("/batches/audit").await.expect(200);
    let last = all["items"][4]["at"].as_str().unwrap();

    assert_eq!(facts(&all).len(), 5);
    assert_eq!(found("actor=bob").await, 2);
    assert_eq!(found("actor=unknown").await, 1);
    assert_eq!(found("action=created").await, 2);
    assert_eq!(found("action=created&actor=ann").await, 1);
    assert_eq!(found("action=repaired").await, 0);
    assert!(found(&format!("since={last}")).await >= 1);
    assert_eq!(found("since=2020-01-01T00:00:00%2B01:00").await, 5);
    assert_eq!(found("since=2099-01-01T00:00:00Z").await, 0);
    let (entries, sizes) = shop.pages("/batches/audit", 2).await;
    assert_eq!((Value::from(entries), sizes), (all["items"].clone(), vec![2, 2, 1]));
}

#[rocket::async_test]
async fn a_wrong_parameter_is_named_with_its_limit() {
    let shop = shop_with_two_batches().await;
    let long = format!("actor={}", "a".repeat(256));
    let table = [
        ("since=yesterday", &["`since`", "RFC 3339", "yesterday"][..]),
        ("action=destroyed", &["`action`", "created, paused, resumed", "destroyed"]),
        ("action=created&action=paused", &["`action`", "once"]),
        ("actor=", &["`actor`", "1 to 255"]),
        (&long, &["`actor`", "1 to 255", "256"]),
        ("limit=0", &["`limit`", "1 to 1000"]),
        ("limit=1001", &["`limit`", "1 to 1000"]),
    ];

    for (query, words) in table {
        shop.get(&format!("/batches/audit?{query}")).await.problem(422, words);
    }
    let cursor = shop.get("/batches/audit?limit=1").await.expect(200)["nextCursor"].as_str().unwrap().to_owned();
    for path in
        ["/batches/audit?action=created&cursor=", "/batches/1/audit?cursor=", "/batches/audit?actor=ann&cursor="]
    {
        shop.get(&format!("{path}{cursor}")).await.problem(400, &[]);
    }
}

#[rocket::post("/orders/<id>/stop")]
async fn stop_order(id: i64, batches: BatchService) -> Result<(), rocket_batch::BatchError> {
    batches.cancel(id).await.map(drop)
}

/// A handler of the host is recorded with the host's user, and a job of the host with its name.
#[rocket::async_test]
async fn changes_by_the_host_are_recorded_with_their_caller() {
    let shop = guarded_by(with_actors()).without_workers().with_statuses_of_its_own();
    let shop = shop.open_with(|rocket| rocket.mount("/", routes![stop_order])).await;
    let batches = BatchService::fetch(shop.client.rocket()).unwrap();
    let options = || batches.default_options();
    batches.create_product_items_async(1, 30, options()).await.unwrap();
    let import = batches.acting_as("nightly\n import");
    import.create_product_items_async(2, 30, options()).await.unwrap();

    let stop = shop.client.post("/orders/2/stop").header(Header::new("x-who", "ann"));
    assert_eq!(shop.ask(stop).await.status, 200);

    let one = batches.audit(1, PageQuery::default()).await.unwrap();
    assert_eq!((one.items.len(), &*one.items[0].actor), (1, "unknown"));
    let two = batches.audit(2, PageQuery::default()).await.unwrap().items;
    let facts: Vec<_> = two.iter().map(|entry| (entry.action, entry.actor.as_str())).collect();
    assert_eq!(facts, [(AuditAction::Created, "nightly import"), (AuditAction::Cancelled, "ann")]);
    let by_ann = AuditQuery { actor: Some("ann".into()), ..AuditQuery::default() };
    assert_eq!(batches.audit_log(by_ann).await.unwrap().items, two[1..]);
}

#[rocket::async_test]
async fn an_address_is_recorded_only_if_the_host_wants_it() {
    let address = |shop: Shop| async move {
        let mut request = shop.client.post("/batches").header(ContentType::JSON).remote(([192, 0, 2, 7], 5000).into());
        request.add_header(Header::new("x-who", "ann"));
        shop.ask(request.body(json!({ "batchId": 1, "quantity": 30 }).to_string())).await.expect(202);
        shop.get("/batches/1/audit").await.expect(200)["items"][0]["address"].clone()
    };

    let with = a_shop().without_workers().with("batch.audit_addresses", true).open().await;
    assert_eq!(address(with).await, json!(IpAddr::from([192, 0, 2, 7])));
    let without = a_shop().without_workers().open().await;
    assert_eq!(address(without).await, Value::Null);
}

/// `keep_history` alone removes no entry.
#[rocket::async_test]
async fn only_keep_audit_removes_entries() {
    let shop = a_shop().with("batch.keep_history", "1s").open().await;
    shop.batch(1, 10).await;
    shop.until_its_history_is_removed(1).await;
    assert_eq!(facts(&shop.get("/batches/1/audit").await.expect(200)), [(1, "created", "unknown")]);

    let shop = a_shop().with("batch.keep_audit", "1s").open().await;
    shop.batch(1, 10).await;
    let entries = async || shop.get("/batches/1/audit").await.expect(200)["items"].as_array().unwrap().len();
    crate::support::wait::until("the entry is removed", crate::support::wait::WAIT_TIMEOUT, entries, |left| *left == 0)
        .await
        .unwrap();
    assert_eq!(shop.get("/batches/1").await.expect(200)["historyRemoved"], false);
}
