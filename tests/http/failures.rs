//! Groups of failed jobs, the map of jobs, and the retry of a selection.

use serde_json::{Value, json};

use crate::{
    control::{refuse_items, take_items},
    shop::{Shop, a_shop},
};

/// A shop with a batch of 10 jobs of 10 items. Jobs 3, 4 and 5 failed because of ink, and job 7
/// because of paper.
async fn a_shop_with_two_errors() -> Shop {
    let shop = a_shop().with("batch.generate.attempts", 1).open().await;
    refuse_items(&shop, "NEW.ordinal BETWEEN 30 AND 59");
    let paper = "CREATE TRIGGER no_paper BEFORE INSERT ON rocket_batch_items WHEN NEW.ordinal BETWEEN 70 AND 79
        BEGIN SELECT RAISE(ABORT, 'tray 7 has no paper'); END";
    rusqlite::Connection::open(shop.database()).unwrap().execute_batch(paper).unwrap();
    shop.batch(1, 100).await;
    shop.until_it_is(1, "failed").await;
    shop
}

async fn groups(shop: &Shop) -> Vec<(String, u64)> {
    let (groups, _) = shop.pages("/batches/1/failure-groups", 10).await;
    let read = |group: &Value| (group["title"].as_str().unwrap().to_owned(), group["jobs"].as_u64().unwrap());
    groups.iter().map(read).collect()
}

#[rocket::async_test]
async fn failed_jobs_are_grouped_by_error_and_one_group_is_retried() {
    let shop = a_shop_with_two_errors().await;
    let (listed, sizes) = shop.pages("/batches/1/failure-groups", 1).await;
    assert_eq!(sizes, [1, 1]);
    let [ink, paper] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&ink["jobs"], &ink["itemsMissing"], &paper["jobs"]), (&json!(3), &json!(30), &json!(1)));
    assert_eq!((&ink["example"]["jobId"], &paper["example"]["jobId"]), (&json!("b1-j3-g0"), &json!("b1-j7-g0")));
    assert!(paper["title"].as_str().unwrap().contains("tray N has no paper"), "{paper}");
    assert!(paper["example"]["error"].as_str().unwrap().contains("tray 7 has no paper"), "{paper}");
    assert!(ink["firstSeen"].as_str() <= ink["lastSeen"].as_str());
    let group = ink["group"].as_str().unwrap();
    let of_group = format!("/batches/1/failed-jobs?group={group}");
    let (jobs, sizes) = shop.pages(&of_group, 2).await;
    assert_eq!((jobs.len(), sizes), (3, vec![2, 1]));
    take_items(&shop);

    let dry = shop.post("/batches/1/retry", json!({ "group": group, "dryRun": true })).await.expect(200);
    assert_eq!((&dry["dryRun"], &dry["found"], &dry["recreated"]), (&json!(true), &json!(3), &json!(3)));
    assert_eq!(shop.status(1).await, "failed");
    let report = shop.post("/batches/1/retry", json!({ "group": group })).await.expect(200);

    assert_eq!((&report["dryRun"], &report["jobIds"]), (&json!(false), &dry["jobIds"]));
    assert_eq!(report["jobIds"], json!(["b1-j3-g1", "b1-j4-g1", "b1-j5-g1"]));
    let again = |progress: &Value| progress["status"] == "failed" && progress["completed"] == 9;
    shop.until(1, "failed again", again).await;
    assert_eq!(groups(&shop).await, [(paper["title"].as_str().unwrap().to_owned(), 1)]);
    let none = shop.post("/batches/1/retry", json!({ "group": group })).await;
    assert_eq!(none.problem(409, &["no failed jobs to retry"])["report"]["found"], 0);
}

#[rocket::async_test]
async fn a_retry_names_jobs_and_reports_those_that_it_skips() {
    let shop = a_shop_with_two_errors().await;
    take_items(&shop);

    let report = shop.post("/batches/1/retry", json!({ "jobs": [0, 4, 5, 99], "limit": 1 })).await.expect(200);

    assert_eq!((&report["found"], &report["jobIds"]), (&json!(2), &json!(["b1-j4-g1"])));
    let skipped = json!([
        { "jobId": "b1-j0-g0", "reason": "completed, not failed" },
        { "jobId": "b1-j99-g0", "reason": "the batch has no such job" },
    ]);
    assert_eq!(report["skipped"], skipped);
    shop.until(1, "failed again", |progress| progress["status"] == "failed" && progress["completed"] == 7).await;
    assert_eq!(groups(&shop).await.iter().map(|(_, jobs)| jobs).sum::<u64>(), 3);
}

#[rocket::async_test]
async fn a_selection_out_of_its_limits_is_refused_by_field_and_changes_nothing() {
    let shop = a_shop_with_two_errors().await;
    let table = [
        (json!({ "group": "ink" }), "group", "16 digits"),
        (json!({ "group": 7 }), "group", "string"),
        (json!({ "jobs": [] }), "jobs", "1 to 1000 numbers"),
        (json!({ "jobs": [-1] }), "jobs", "0 to 99999"),
        (json!({ "jobs": (0..1_001).collect::<Vec<_>>() }), "jobs", "1 to 1000 numbers"),
        (json!({ "limit": 0 }), "limit", "1 to 100000"),
        (json!({ "limit": 100_001 }), "limit", "1 to 100000"),
        (json!({ "dryRun": "yes" }), "dryRun", "boolean"),
        (json!({ "grup": "ink" }), "grup", "unknown field"),
    ];

    for (body, field, words) in table {
        let problem = shop.post("/batches/1/retry", &body).await.problem(422, &[field, words]);
        assert_eq!(problem["field"], field, "{body}");
    }
    let both = shop.post("/batches/1/retry", json!({ "group": "ink", "limit": 0, "grup": 1 })).await;
    let fields: Vec<_> = both.problem(422, &["group", "limit", "grup"])["errors"].as_array().unwrap().clone();
    assert_eq!(fields.iter().map(|error| &error["field"]).collect::<Vec<_>>(), ["limit", "grup", "group"]);
    shop.post("/batches/1/retry", "{").await.problem(400, &["not JSON"]);
    shop.get("/batches/1/failed-jobs?group=ink").await.problem(422, &["group", "16 digits"]);
    assert_eq!((shop.status(1).await.as_str(), groups(&shop).await.len()), ("failed", 2));
    let all = shop.post("/batches/1/retry", json!({})).await.expect(200);
    assert_eq!(all["found"], 4);
}

#[rocket::async_test]
async fn the_map_shows_the_state_of_each_job() {
    let shop = a_shop_with_two_errors().await;

    let map = shop.get("/batches/1/job-map").await.expect(200);

    let states = ["completed", "completed", "completed", "failed", "failed", "failed"];
    let cells: Vec<_> = states.into_iter().chain(["completed", "failed", "completed", "completed"]).collect();
    assert_eq!(map, json!({ "jobs": 10, "jobsPerCell": 1, "cells": cells }));
    shop.get("/batches/9/job-map").await.problem(404, &["no batch 9"]);
    shop.get("/batches/9/failure-groups").await.problem(404, &["no batch 9"]);
}
