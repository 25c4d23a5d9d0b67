//! A batch from its request to its last item, through the routes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::shop::a_shop;

#[rocket::async_test]
async fn a_batch_is_accepted_at_once_and_all_its_items_can_be_read() {
    let shop = a_shop().open().await;
    let body = json!({ "quantity": 250, "batchId": 7, "batchSize": 100, "qrCodePrefix": "QR", "maxJobsPerBatch": 50 });

    let reply = shop.post("/batches", body).await;

    let accepted = reply.expect(202);
    assert_eq!(reply.header("Location"), Some("/batches/7"));
    assert_eq!(accepted["success"], true);
    assert_eq!(accepted["batchId"], 7);
    assert_eq!(accepted["totalQuantity"], 250);
    assert_eq!(accepted["jobsCreated"], 3);
    assert_eq!(accepted["jobIds"], json!(["b7-j0-g0", "b7-j1-g0", "b7-j2-g0"]));
    assert_eq!(accepted["jobIdsTruncated"], false);
    assert!(accepted["estimatedDuration"].is_string() && accepted["estimatedSeconds"].is_u64(), "{accepted}");

    let progress = shop.until_it_is(7, "completed").await;
    assert_eq!(progress["completed"], 3);
    assert_eq!((&progress["itemsCreated"], &progress["itemsTotal"]), (&json!(250), &json!(250)));
    assert_eq!((&progress["percent"], &progress["etaSeconds"]), (&json!(100), &json!(0)));
    let batch = shop.get("/batches/7").await.expect(200);
    assert_eq!(batch["options"], json!({ "batchSize": 100, "qrCodePrefix": "QR", "maxJobsPerBatch": 50 }));
    assert_eq!((&batch["status"], &batch["itemsCreated"]), (&json!("completed"), &json!(250)));
}

/// 100,000 jobs once made a response of 1.5 MB.
#[rocket::async_test]
async fn a_response_lists_at_most_a_thousand_jobs_and_marks_the_list_as_truncated() {
    let shop = a_shop().without_workers().with("batch.max_jobs_per_batch", 2_000).open().await;

    for (quantity, listed) in [(1_000_u64, 1_000), (1_001, 1_000)] {
        let body = json!({ "quantity": quantity, "batchSize": 1 });
        let accepted = shop.post("/batches", body).await.expect(202);

        let ids = accepted["jobIds"].as_array().unwrap();
        assert_eq!((&accepted["jobsCreated"], ids.len()), (&json!(quantity), listed));
        assert_eq!(accepted["jobIdsTruncated"], quantity > 1_000);
        assert_eq!(ids[999], format!("b{}-j999-g0", accepted["batchId"]));
    }
}

#[rocket::async_test]
async fn paging_shows_every_item_exactly_once() {
    let shop = a_shop().open().await;
    shop.batch(1, 250).await;
    shop.batch(2, 30).await;
    shop.until_it_is(1, "completed").await;
    shop.until_it_is(2, "completed").await;

    let (items, sizes) = shop.pages("/batches/1/items", 100).await;
    let (even, even_sizes) = shop.pages("/batches/1/items", 125).await;

    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(even_sizes, [125, 125], "a page that is full and the last has no next one");
    assert_eq!(items, even);
    let ordinals: Vec<_> = items.iter().map(|item| item["ordinal"].as_u64().unwrap()).collect();
    assert_eq!(ordinals, (0..250).collect::<Vec<_>>());
    assert!(items.iter().all(|item| item["batchId"] == 1 && item["createdAt"].is_string()));
    let codes: BTreeSet<_> = items.iter().map(|item| item["code"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), 250);
}

#[rocket::async_test]
async fn an_item_is_found_by_its_code_and_a_forged_code_is_not() {
    let shop = a_shop().open().await;
    let elsewhere = a_shop().open().await;
    for shop in [&shop, &elsewhere] {
        shop.batch(1, 10).await;
        shop.until_it_is(1, "completed").await;
    }
    let (items, _) = shop.pages("/batches/1/items", 100).await;
    let code = items[4]["code"].as_str().unwrap();

    assert_eq!(shop.get(&format!("/batches/items/{code}")).await.expect(200), items[4]);

    let flipped = if code.starts_with('A') { "B" } else { "A" };
    let forged = [format!("{flipped}{}", &code[1..]), format!("QR-{code}"), code[1..].to_owned()];
    for forged in forged.iter().map(String::as_str).chain(["items", "0", "%00", "%F0%9F%8D%BA"]) {
        shop.get(&format!("/batches/items/{forged}")).await.problem(404, &["no item"]);
    }
    let foreign = elsewhere.get("/batches/1/items").await.expect(200);
    let foreign = foreign["items"][4]["code"].as_str().unwrap();
    assert_ne!(code, foreign);
    shop.get(&format!("/batches/items/{foreign}")).await.problem(404, &["no item"]);
}

/// Two shops share a key. An item that only the other one created has a valid code, but is missing
/// here.
#[rocket::async_test]
async fn a_valid_code_of_a_missing_item_finds_no_other_item() {
    let key = "00112233445566778899aabbccddeeff";
    let (shop, larger) =
        (a_shop().with("batch.code_key", key).open().await, a_shop().with("batch.code_key", key).open().await);
    for (shop, id, quantity) in [(&shop, 1, 5), (&larger, 1, 10), (&larger, 2, 5)] {
        shop.batch(id, quantity).await;
        shop.until_it_is(id, "completed").await;
    }
    let sql = "DELETE FROM rocket_batch_items WHERE ordinal IN (0, 2)";
    assert_eq!(rusqlite::Connection::open(shop.database()).unwrap().execute(sql, []).unwrap(), 2);

    let (mut items, _) = larger.pages("/batches/1/items", 100).await;
    items.extend(larger.pages("/batches/2/items", 100).await.0);

    for item in items {
        let (batch, ordinal) = (item["batchId"].as_i64().unwrap(), item["ordinal"].as_u64().unwrap());
        let reply = shop.get(&format!("/batches/items/{}", item["code"].as_str().unwrap())).await;
        match (batch, ordinal) {
            (1, 1 | 3 | 4) => assert_eq!(reply.expect(200)["ordinal"], ordinal),
            _ => drop(reply.problem(404, &["no item"])),
        }
    }
}

#[rocket::async_test]
async fn a_batch_without_id_and_options_gets_the_defaults() {
    let shop = a_shop().without_workers().with("batch.batch_size", 25).open().await;
    let nulls =
        json!({ "quantity": 50, "batchId": null, "batchSize": null, "qrCodePrefix": null, "maxJobsPerBatch": null });

    let bare = shop.post("/batches", json!({ "quantity": 50 })).await.expect(202);
    let nulls = shop.post("/batches", nulls).await.expect(202);

    assert_ne!(bare["batchId"], nulls["batchId"]);
    for accepted in [bare, nulls] {
        assert_eq!(accepted["jobsCreated"], 2);
        let batch = shop.get(&format!("/batches/{}", accepted["batchId"])).await.expect(200);
        assert_eq!(batch["options"], json!({ "batchSize": 25, "qrCodePrefix": null, "maxJobsPerBatch": null }));
    }
}

#[rocket::async_test]
async fn batches_are_listed_by_status_page_by_page() {
    let shop = a_shop().without_workers().open().await;
    for id in 1..=5 {
        shop.batch(id, 10).await;
    }
    shop.post_empty("/batches/2/pause").await.expect(200);
    shop.post_empty("/batches/4/pause").await.expect(200);
    let ids = |entries: &[Value]| entries.iter().map(|batch| batch["batchId"].as_i64().unwrap()).collect::<Vec<_>>();

    let (all, sizes) = shop.pages("/batches", 2).await;
    let (pending, _) = shop.pages("/batches?status=pending", 2).await;
    let (paused, _) = shop.pages("/batches?status=paused", 2).await;
    let (failed, sizes_of_none) = shop.pages("/batches?status=failed", 2).await;

    assert_eq!((ids(&all), sizes), (vec![5, 4, 3, 2, 1], vec![2, 2, 1]));
    assert_eq!(ids(&pending), [5, 3, 1]);
    assert_eq!(ids(&paused), [4, 2]);
    assert_eq!((failed, sizes_of_none), (vec![], vec![0]));
}

#[rocket::async_test]
async fn the_base_is_a_setting_and_the_location_follows_it() {
    let shop = a_shop().without_workers().with("batch.base", "/shop/lots").open().await;

    let reply = shop.post("/shop/lots", json!({ "quantity": 1, "batchId": 3 })).await;

    reply.expect(202);
    assert_eq!(reply.header("Location"), Some("/shop/lots/3"));
    assert_eq!(shop.get("/shop/lots/3").await.expect(200)["batchId"], 3);
    assert_eq!(shop.get("/batches/3").await.status, 404);
}

#[rocket::async_test]
async fn a_slash_after_the_base_changes_nothing() {
    let shop = a_shop().without_workers().open().await;

    let reply = shop.post("/batches/", json!({ "quantity": 1, "batchId": 3 })).await;

    reply.expect(202);
    assert_eq!(reply.header("Location"), Some("/batches/3"));
    assert_eq!(shop.get("/batches/").await.expect(200), shop.get("/batches").await.expect(200));
}

#[rocket::async_test]
async fn the_error_for_an_id_in_use_names_it_and_the_batch_is_unchanged() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(9, 10).await;
    let before = shop.get("/batches/9").await.expect(200);

    let reply = shop.post("/batches", json!({ "quantity": 99, "batchId": 9 })).await;

    assert_eq!(reply.problem(409, &["batch 9"])["batchId"], 9);
    assert_eq!(shop.get("/batches/9").await.expect(200), before);
    assert_eq!(shop.pages("/batches", 10).await.0.len(), 1);
}
