//! The header `Idempotency-Key`: a repeated request takes effect once.

use rocket::{
    futures::future::join_all,
    http::{ContentType, Header},
};
use rocket_batch::Batch;
use serde_json::{Value, json};

use crate::shop::{Reply, Shop, a_shop, from, guarded_by};

const KEY: &str = "Idempotency-Key";

async fn post_once(shop: &Shop, key: &str, body: impl ToString) -> Reply {
    let key = Header::new(KEY, key.to_owned());
    shop.ask(shop.client.post("/batches").header(ContentType::JSON).header(key).body(body.to_string())).await
}

/// The body and the `Location` of a response. Asserts whether it is marked as replayed.
fn accepted(reply: &Reply, replayed: bool) -> (Value, String) {
    let body = reply.expect(202);
    assert_eq!(reply.header("Idempotent-Replayed"), replayed.then_some("true"), "{reply:?}");
    (body, reply.header("Location").unwrap().to_owned())
}

async fn number_of_batches(shop: &Shop) -> usize {
    shop.pages("/batches", 100).await.0.len()
}

#[rocket::async_test]
async fn the_same_request_with_the_same_key_gets_the_same_response() {
    let shop = a_shop().open().await;
    let first = accepted(&post_once(&shop, "k", json!({ "quantity": 30, "batchSize": 10 })).await, false);
    let id = first.0["batchId"].as_i64().unwrap();
    shop.until_it_is(id, "completed").await;

    // The same value, formatted differently.
    let again = post_once(&shop, "k", r#"{ "batchSize": 10, "qrCodePrefix": null,  "quantity": 30 }"#).await;

    assert_eq!(accepted(&again, true), first);
    assert_eq!(number_of_batches(&shop).await, 1);
    assert_eq!(shop.status(id).await, "completed");
}

#[rocket::async_test]
async fn repeating_a_request_with_a_batch_id_is_not_a_conflict() {
    let shop = a_shop().without_workers().open().await;
    let body = json!({ "quantity": 30, "batchId": 7 });

    let first = accepted(&post_once(&shop, "k", &body).await, false);
    let again = accepted(&post_once(&shop, "k", &body).await, true);

    assert_eq!(again, first);
    shop.post("/batches", body).await.problem(409, &["batch 7 already exists"]);
}

#[rocket::async_test]
async fn another_request_with_the_same_key_is_refused() {
    let shop = a_shop().without_workers().open().await;
    let first = accepted(&post_once(&shop, "k", json!({ "quantity": 30 })).await, false);
    let others = [
        json!({ "quantity": 31 }),
        json!({ "quantity": 30, "batchId": 7 }),
        json!({ "quantity": 30, "batchSize": 100 }),
        json!({ "quantity": 30, "qrCodePrefix": "QR" }),
        json!({ "quantity": 30, "maxJobsPerBatch": 1_000 }),
    ];

    for other in others {
        let problem = post_once(&shop, "k", &other).await.problem(422, &["`Idempotency-Key`", "another request"]);
        assert_eq!(problem["type"], "urn:rocket-batch:idempotency-key-reused", "{other}");
        assert_eq!((&problem["header"], &problem["batchId"]), (&json!(KEY), &first.0["batchId"]));
    }
    accepted(&post_once(&shop, "another", json!({ "quantity": 31 })).await, false);
    assert_eq!(number_of_batches(&shop).await, 2);
}

#[rocket::async_test]
async fn fifty_equal_requests_at_the_same_time_create_one_batch() {
    let shop = a_shop().open().await;
    let body = json!({ "quantity": 30 });

    let replies = join_all((0..50).map(|_| post_once(&shop, "k", &body))).await;

    let first: Vec<_> = replies.iter().filter(|reply| reply.header("Idempotent-Replayed").is_none()).collect();
    let [first] = first[..] else { panic!("one is the first: {first:?}") };
    let answer = accepted(first, false);
    let again = replies.iter().filter(|reply| reply.header("Idempotent-Replayed").is_some());
    assert!(again.clone().all(|reply| accepted(reply, true) == answer));
    assert_eq!(again.count(), 49);
    assert_eq!(number_of_batches(&shop).await, 1);
}

#[rocket::async_test]
async fn without_a_key_every_request_creates_a_batch() {
    let shop = a_shop().without_workers().open().await;

    for _ in 0..2 {
        accepted(&shop.post("/batches", json!({ "quantity": 30 })).await, false);
    }

    assert_eq!(number_of_batches(&shop).await, 2);
}

#[rocket::async_test]
async fn callers_have_separate_keys_if_the_host_identifies_them() {
    let fairing = Batch::fairing().public().actor(|request| request.headers().get_one("x-who").map(str::to_owned));
    let shop = guarded_by(fairing).without_workers().open().await;
    let post_as = async |who: Option<&'static str>, quantity: u64| {
        let body = json!({ "quantity": quantity }).to_string();
        let mut request =
            shop.client.post("/batches").header(ContentType::JSON).header(Header::new(KEY, "k")).body(body);
        who.into_iter().for_each(|who| request.add_header(from(who)));
        shop.ask(request).await
    };

    for (quantity, who) in [(1, Some("ann")), (2, Some("bob")), (3, None)] {
        let first = accepted(&post_as(who, quantity).await, false);
        assert_eq!(accepted(&post_as(who, quantity).await, true), first, "{who:?}");
    }

    assert_eq!(number_of_batches(&shop).await, 3);
}

#[rocket::async_test]
async fn the_error_for_an_invalid_key_names_the_limit() {
    let shop = a_shop().without_workers().open().await;
    let body = json!({ "quantity": 30 });
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));

    for bad in ["", " ", "two words", "schl\u{fc}ssel", "\u{7f}", &too_long] {
        let problem = post_once(&shop, bad, &body).await.problem(400, &["`Idempotency-Key`", "255", "visible ASCII"]);
        assert_eq!(problem["type"], "urn:rocket-batch:bad-idempotency-key", "{bad:?}");
        assert_eq!(problem["header"], KEY);
    }
    let mut two = shop.client.post("/batches").header(ContentType::JSON).body(body.to_string());
    ["k", "l"].into_iter().for_each(|key| two.add_header(Header::new(KEY, key)));
    shop.ask(two).await.problem(400, &["one `Idempotency-Key`"]);
    assert_eq!(number_of_batches(&shop).await, 0);

    accepted(&post_once(&shop, &longest, &body).await, false);
    accepted(&post_once(&shop, &longest, &body).await, true);
}

#[rocket::async_test]
async fn a_refused_request_can_be_corrected_with_the_same_key() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(7, 10).await;

    post_once(&shop, "k", json!({ "quantity": 0 })).await.problem(422, &["`quantity`"]);
    post_once(&shop, "k", json!({ "quantity": 5, "batchId": 7 })).await.problem(409, &["batch 7"]);

    accepted(&post_once(&shop, "k", json!({ "quantity": 5 })).await, false);
}
