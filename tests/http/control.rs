//! Cancel, pause, resume and retry, from every status that a batch can have.

use serde_json::json;

use crate::shop::{Shop, a_shop};

/// The batch that is controlled, and a bystander that must not change.
const BATCH: i64 = 1;
const BYSTANDER: i64 = 2;

/// A shop with a batch of 3 jobs in the given status that stays there, and a bystander in the same.
async fn a_batch_that_is(status: &str) -> Shop {
    let shop = match status {
        "pending" | "paused" | "cancelled" => a_shop().without_workers().open().await,
        // After a first attempt its later jobs wait for an hour.
        "running" => {
            a_shop().with("batch.generate.backoff", "1h").with("batch.generate.max_backoff", "1h").open().await
        }
        "completed" => a_shop().open().await,
        "failed" => a_shop().with("batch.generate.attempts", 1).open().await,
        other => panic!("{other} is no status"),
    };
    match status {
        "running" => refuse_items(&shop, "NEW.ordinal >= 10"),
        "failed" => refuse_items(&shop, "TRUE"),
        _ => {}
    }
    for id in [BATCH, BYSTANDER] {
        shop.batch(id, 30).await;
        match status {
            "paused" => drop(shop.post_empty(&format!("/batches/{id}/pause")).await.expect(200)),
            "cancelled" => drop(shop.post_empty(&format!("/batches/{id}/cancel")).await.expect(200)),
            _ => {}
        }
    }
    for id in [BATCH, BYSTANDER] {
        let delayed = if status == "running" { 2 } else { 0 };
        shop.until(id, status, |progress| progress["status"] == status && progress["delayed"] == delayed).await;
    }
    shop
}

/// Makes the database refuse new items for which `condition` is true, until [`take_items`].
pub fn refuse_items(shop: &Shop, condition: &str) {
    let refuse = format!(
        "CREATE TRIGGER no_items BEFORE INSERT ON rocket_batch_items WHEN {condition}
         BEGIN SELECT RAISE(ABORT, 'the shelf is full'); END"
    );
    rusqlite::Connection::open(shop.database()).unwrap().execute_batch(&refuse).unwrap();
}

pub fn take_items(shop: &Shop) {
    rusqlite::Connection::open(shop.database()).unwrap().execute_batch("DROP TRIGGER no_items").unwrap();
}

#[rocket::async_test]
async fn a_command_is_refused_in_a_status_that_does_not_allow_it() {
    let table = [
        ("pending", "pause", Some("paused")),
        ("pending", "resume", None),
        ("pending", "cancel", Some("cancelled")),
        ("pending", "retry", None),
        ("running", "pause", Some("paused")),
        ("running", "resume", None),
        ("running", "cancel", Some("cancelled")),
        ("running", "retry", None),
        ("paused", "pause", None),
        ("paused", "resume", Some("pending")),
        ("paused", "cancel", Some("cancelled")),
        ("paused", "retry", None),
        ("completed", "pause", None),
        ("completed", "resume", None),
        ("completed", "cancel", None),
        ("completed", "retry", None),
        ("failed", "pause", None),
        ("failed", "resume", None),
        ("failed", "cancel", None),
        ("cancelled", "pause", None),
        ("cancelled", "resume", None),
        ("cancelled", "cancel", None),
        ("cancelled", "retry", None),
    ];

    for (before, verb, after) in table {
        let shop = a_batch_that_is(before).await;
        let reply = shop.post_empty(&format!("/batches/{BATCH}/{verb}")).await;

        match after {
            Some(after) => assert_eq!(reply.expect(200)["status"], after, "{before} {verb}"),
            None => drop(reply.problem(409, &["batch"])),
        }
        assert_eq!(shop.status(BATCH).await, after.unwrap_or(before), "{before} {verb}");
        assert_eq!(shop.status(BYSTANDER).await, before, "{before} {verb}");
    }
}

#[rocket::async_test]
async fn a_refusal_names_the_status_and_the_command() {
    let shop = a_batch_that_is("completed").await;

    let problem = shop.post_empty("/batches/1/pause").await.problem(409, &["completed", "paused"]);

    assert_eq!(problem["batchStatus"], "completed");
}

#[rocket::async_test]
async fn retrying_a_batch_without_failed_jobs_returns_the_report() {
    let shop = a_batch_that_is("running").await;

    let problem = shop.post_empty("/batches/1/retry").await.problem(409, &["batch 1", "no failed jobs"]);

    assert_eq!(problem["report"]["found"], 0);
    assert_eq!(problem["report"]["status"], "running");
}

#[rocket::async_test]
async fn a_failed_batch_shows_its_error_and_completes_after_a_retry() {
    let shop = a_batch_that_is("failed").await;
    let (jobs, sizes) = shop.pages("/batches/1/failed-jobs", 2).await;
    assert_eq!(sizes, [2, 1]);
    for (seq, job) in jobs.iter().enumerate() {
        assert_eq!(job["seq"], seq);
        assert_eq!(job["jobId"], format!("b1-j{seq}-g0"));
        assert!(job.to_string().contains("the shelf is full"), "{job}");
    }

    take_items(&shop);
    let report = shop.post_empty("/batches/1/retry").await.expect(200);

    assert_eq!((&report["found"], &report["recreated"], &report["status"]), (&3.into(), &3.into(), &"running".into()));
    assert_eq!(report["jobIds"], json!(["b1-j0-g1", "b1-j1-g1", "b1-j2-g1"]));
    assert_eq!((&report["jobIdsTruncated"], &report["skippedTruncated"]), (&json!(false), &json!(false)));
    shop.until_it_is(BATCH, "completed").await;
    assert_eq!(shop.pages("/batches/1/items", 100).await.0.len(), 30);
    assert_eq!(shop.pages("/batches/1/failed-jobs", 100).await.0.len(), 0);
    assert_eq!(shop.status(BYSTANDER).await, "failed");
    shop.post_empty("/batches/1/retry").await.problem(409, &["batch"]);
}

/// The report was as long as the batch had jobs.
#[rocket::async_test]
async fn the_report_of_a_retry_lists_at_most_a_thousand_jobs_and_counts_all() {
    let shop = a_shop()
        .with("batch.max_jobs_per_batch", 2_000)
        .with("batch.generate.attempts", 1)
        .with("batch.generate.concurrency", 16)
        .with("batch.chunk_tries", 1)
        .open()
        .await;
    refuse_items(&shop, "TRUE");
    shop.post("/batches", json!({ "quantity": 1_001, "batchId": 1, "batchSize": 1 })).await.expect(202);
    shop.until_it_is(1, "failed").await;

    let report = shop.post_empty("/batches/1/retry").await.expect(200);

    assert_eq!((&report["found"], &report["recreated"]), (&json!(1_001), &json!(1_001)));
    assert_eq!((report["jobIds"].as_array().unwrap().len(), &report["jobIdsTruncated"]), (1_000, &json!(true)));
    assert_eq!((&report["skipped"], &report["skippedTruncated"]), (&json!([]), &json!(false)));
}

#[rocket::async_test]
async fn a_batch_without_history_shows_that_and_keeps_its_items() {
    let shop = a_shop().with("batch.generate.attempts", 1).with("batch.keep_history", "1s").open().await;
    refuse_items(&shop, "NEW.batch = 1 AND NEW.ordinal >= 10");
    shop.batch(1, 30).await;
    shop.batch(2, 30).await;
    let before = shop.until_it_is(1, "failed").await;
    shop.until_it_is(2, "completed").await;

    let batch = shop.until_its_history_is_removed(1).await;
    shop.until_its_history_is_removed(2).await;

    let problem = shop.get("/batches/1/failed-jobs").await.problem(409, &["history of batch 1 was removed"]);
    assert_eq!((&problem["type"], &problem["batchId"]), (&"urn:rocket-batch:history-removed".into(), &1.into()));
    assert_eq!(problem["title"], "History removed");
    assert_eq!(shop.post_empty("/batches/1/retry").await.problem(409, &[]), problem);
    for (path, verb) in [(1, "cancel"), (1, "pause"), (1, "resume"), (2, "retry"), (2, "cancel")] {
        let problem = shop.post_empty(&format!("/batches/{path}/{verb}")).await.problem(409, &["a batch that is"]);
        assert_eq!(problem["type"], "urn:rocket-batch:not-allowed", "{verb}");
    }
    let progress = shop.get("/batches/1/progress").await.expect(200);
    assert_eq!((&progress["completed"], &progress["failed"], &progress), (&1.into(), &2.into(), &before));
    assert_eq!((&batch["status"], &batch["jobs"]["failed"]), (&"failed".into(), &2.into()));
    let (items, _) = shop.pages("/batches/1/items", 100).await;
    assert_eq!(items.len(), 10);
    assert_eq!(shop.get(&format!("/batches/items/{}", items[3]["code"].as_str().unwrap())).await.expect(200), items[3]);
}

#[rocket::async_test]
async fn a_paused_batch_continues_after_a_resume() {
    let shop = a_batch_that_is("running").await;
    shop.post_empty("/batches/1/pause").await.expect(200);

    let resumed = shop.post_empty("/batches/1/resume").await.expect(200);

    assert_eq!(resumed["status"], "running", "a job was claimed before the pause");
    assert_eq!(shop.status(BYSTANDER).await, "running");
}

#[rocket::async_test]
async fn the_second_of_two_retries_at_the_same_time_is_refused() {
    let shop = a_batch_that_is("failed").await;
    take_items(&shop);

    let (one, other) = tokio::join!(shop.post_empty("/batches/1/retry"), shop.post_empty("/batches/1/retry"));

    let mut answers = [one.status, other.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    shop.until_it_is(BATCH, "completed").await;
}
