//! A preview says what creating a batch would do, and creates nothing.

use std::{collections::BTreeSet, sync::Mutex};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use tokio::{runtime::Handle, task::block_in_place};

use crate::shop::{Reply, Shop, a_shop};

/// The fields that a problem names in its `errors`, in order.
pub fn wrong_fields(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect()
}

async fn preview(shop: &Shop, body: impl ToString) -> Reply {
    shop.post("/batches/preview", body).await
}

#[rocket::async_test]
async fn a_preview_is_what_creation_does() {
    let shop = a_shop().without_workers().with("batch.generate.rate_limit", "5 per 10s").open().await;
    let body = json!({ "quantity": 5_030, "qrCodePrefix": "QR" });

    let mut first = preview(&shop, &body).await.expect(200);
    let accepted = shop.post("/batches", &body).await.expect(202);

    assert_eq!(first["estimatedSeconds"], accepted["estimatedSeconds"]);
    assert_eq!(first["estimatedDuration"], accepted["estimatedDuration"]);
    let example = first["code"]["example"].take();
    assert!(example.as_str().unwrap().starts_with("QR-"), "{example}");
    let expected = json!({
        "quantity": 5_030,
        "jobs": 51,
        "itemsPerJob": 100,
        "chunks": 101,
        "itemsPerChunk": 50,
        "estimatedSeconds": 100,
        "estimatedDuration": "100 seconds",
        "estimatedSecondsWithoutRateLimit": 1,
        "code": { "example": null, "length": 29, "pattern": "^QR-[0-9A-HJKMNP-TV-Z]{26}$" },
    });
    assert_eq!(first, expected);
}

/// The open batches delay the next one, in a preview as in a batch. Previews do not.
#[rocket::async_test]
async fn a_preview_has_the_estimate_that_a_batch_would_get_now() {
    let shop = a_shop().without_workers().with("batch.generate.rate_limit", "5 per 10s").open().await;
    let body = json!({ "quantity": 5_000 });
    let empty = preview(&shop, &body).await.expect(200)["estimatedSeconds"].clone();
    shop.post("/batches", &body).await.expect(202);

    let behind = preview(&shop, &body).await.expect(200)["estimatedSeconds"].clone();
    let again = preview(&shop, &body).await.expect(200)["estimatedSeconds"].clone();

    assert!(behind.as_u64() > empty.as_u64(), "{behind} is longer than {empty}");
    assert_eq!(again, behind);
    assert_eq!(shop.post("/batches", &body).await.expect(202)["estimatedSeconds"], behind);
}

#[rocket::async_test]
async fn a_preview_has_the_sizes_of_small_and_of_large_jobs() {
    let shop = a_shop().without_workers().open().await;
    let sizes = async |body: Value| {
        let preview = preview(&shop, body).await.expect(200);
        ["jobs", "itemsPerJob", "chunks", "itemsPerChunk"].map(|member| preview[member].as_u64().unwrap())
    };

    assert_eq!(sizes(json!({ "quantity": 7 })).await, [1, 7, 1, 7]);
    assert_eq!(sizes(json!({ "quantity": 100, "batchSize": 60 })).await, [2, 60, 3, 50]);
    assert_eq!(sizes(json!({ "quantity": 1_000_000 })).await, [1_000, 1_000, 20_000, 50]);
    assert_eq!(sizes(json!({ "quantity": 1_000, "maxJobsPerBatch": 1 })).await, [1, 1_000, 20, 50]);
}

#[rocket::async_test]
async fn the_code_of_a_preview_has_the_right_form_and_is_no_item() {
    let shop = a_shop().open().await;
    shop.batch(1, 100).await;
    shop.until_it_is(1, "completed").await;
    let items = shop.get("/batches/1/items?limit=1").await.expect(200);
    let real = items["items"][0]["code"].as_str().unwrap().to_owned();
    let mut examples = BTreeSet::new();

    for prefix in [None, Some("QR"), Some("a_b-c"), Some("sixteen-letters-")] {
        let code = preview(&shop, json!({ "quantity": 100, "qrCodePrefix": prefix })).await.expect(200)["code"].take();
        let example = code["example"].as_str().unwrap();
        let contract = shop.contract.as_ref().unwrap();
        let schema = json!({ "type": "string", "pattern": code["pattern"] });
        let with_prefix = format!("{}{real}", prefix.map(|prefix| format!("{prefix}-")).unwrap_or_default());

        contract.fits(&schema, &code["example"]).unwrap();
        contract.fits(&schema, &json!(with_prefix)).unwrap();
        assert!(contract.fits(&schema, &json!(format!("{example}0"))).is_err());
        assert_eq!((code["length"].as_u64(), example.len()), (Some(with_prefix.len() as u64), with_prefix.len()));
        shop.get(&format!("/batches/items/{example}")).await.problem(404, &["no item"]);
        examples.insert(example[example.len() - 26..].to_owned());
    }
    assert_eq!(examples.len(), 4, "they are random: {examples:?}");
}

#[rocket::async_test]
async fn a_preview_creates_nothing() {
    let shop = a_shop().open().await;
    shop.batch(1, 10).await;
    shop.until_it_is(1, "completed").await;
    let before = shop.get("/batches").await.expect(200);

    for body in [json!({ "quantity": 10 }), json!({ "quantity": 10, "batchId": 7 }), json!({ "quantity": 5_000 })] {
        preview(&shop, body).await.expect(200);
    }

    assert_eq!(shop.get("/batches").await.expect(200), before);
    shop.get("/batches/7").await.problem(404, &["there is no batch 7"]);
    assert_eq!(shop.post("/batches", json!({ "quantity": 10 })).await.expect(202)["batchId"], 2);
}

#[rocket::async_test]
async fn a_preview_names_every_reason_at_once() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(7, 10).await;

    let in_use = preview(&shop, json!({ "quantity": 10, "batchId": 7 })).await;
    let all = preview(&shop, json!({ "quantity": "ten", "batchId": 7, "qrCodePrefix": "a/b", "colour": "red" })).await;

    let problem = in_use.problem(422, &["`batchId` is in use: batch 7 already exists"]);
    assert_eq!((&problem["field"], wrong_fields(&problem)), (&json!("batchId"), vec!["batchId"]));
    let problem =
        all.problem(422, &["`quantity`: invalid type", "; `colour`: unknown field", "batch 7 already exists"]);
    assert_eq!(wrong_fields(&problem), ["quantity", "colour", "batchId", "qrCodePrefix"]);
    preview(&shop, "{").await.problem(400, &["not JSON"]);
    preview(&shop, "[]").await.problem(422, &["struct CreateBatch"]);
}

/// Values of a field as JSON: right ones, ones out of range, and ones of another type.
fn value(right: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    const WRONG: &[&str] = &["0", "-1", "1.5", "99999999999999999999", "true", "null", "[]", "\"x\"", "\"a/b\""];
    prop_oneof![4 => prop::sample::select(right), 1 => prop::sample::select(WRONG)]
}

/// Bodies with a quantity and some other members; names may be unknown, or occur twice.
fn body() -> impl Strategy<Value = String> {
    let quantity = || value(&["1", "20", "20", "70", "90", "101"]).prop_map(|value| ("quantity", value));
    let other = prop_oneof![
        value(&["1", "2", "3", "4", "5"]).prop_map(|value| ("batchId", value)),
        value(&["3", "10", "11"]).prop_map(|value| ("batchSize", value)),
        value(&["\"QR\"", "\"a-b\"", "null"]).prop_map(|value| ("qrCodePrefix", value)),
        value(&["1", "7", "10", "11"]).prop_map(|value| ("maxJobsPerBatch", value)),
    ];
    let rare = prop_oneof![quantity(), value(&["1"]).prop_map(|value| ("colour", value))];
    let members = (
        prop::option::weighted(0.9, quantity()),
        prop::collection::vec(other, 0..3),
        prop::option::weighted(0.1, rare),
    );
    members.prop_map(|(quantity, others, rare)| {
        let members: Vec<_> = quantity.into_iter().chain(others).chain(rare).collect();
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Checks that a batch is created as its preview says, or refused for the same reasons. Returns
/// what the preview answered.
async fn creation_follows_preview(shop: &Shop, body: &str) -> u16 {
    let (previewed, created) = (preview(shop, body).await, shop.post("/batches", body).await);
    let is_in_use = |error: &Value| error["detail"].as_str().unwrap().contains("already exists");

    if previewed.status == 200 {
        let (previewed, accepted) = (previewed.expect(200), created.expect(202));
        assert_eq!(
            (&accepted["jobsCreated"], &accepted["totalQuantity"]),
            (&previewed["jobs"], &previewed["quantity"])
        );
        assert_eq!(accepted["estimatedSeconds"], previewed["estimatedSeconds"], "{body}");
        return 200;
    }
    let mut reasons = previewed.problem(422, &[])["errors"].take();
    reasons.as_array_mut().unwrap().retain(|error| !is_in_use(error));
    if reasons == json!([]) {
        created.problem(409, &["already exists"]);
        return 409;
    }
    assert_eq!(created.problem(422, &[])["errors"], reasons, "{body}");
    422
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_does_what_any_preview_says() {
    let shop = a_shop().without_workers();
    let shop = shop.with("batch.max_quantity", 100).with("batch.max_items_per_job", 10);
    let shop = shop.with("batch.batch_size", 5).with("batch.max_jobs_per_batch", 10).open().await;
    let answers = Mutex::new(BTreeSet::new());
    let config = Config { failure_persistence: None, ..Config::with_cases(300) };

    let result = TestRunner::new(config).run(&body(), |body| {
        let checked = creation_follows_preview(&shop, &body);
        answers.lock().unwrap().insert(block_in_place(|| Handle::current().block_on(checked)));
        Ok(())
    });

    result.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answers.into_inner().unwrap(), [200, 409, 422].into(), "each case occurred");
}
