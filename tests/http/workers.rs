//! The list of processes.

use serde_json::json;

use crate::shop::a_shop;

#[rocket::async_test]
async fn a_process_lists_itself_with_what_it_does() {
    let shop = a_shop().open().await;

    let listed = loop {
        let listed = shop.get("/batches/workers").await.expect(200);
        if listed["items"] != json!([]) {
            break listed;
        }
        tokio::task::yield_now().await;
    };

    let worker = &listed["items"][0];
    assert_eq!((listed["items"].as_array().map(Vec::len), &listed["nextCursor"]), (Some(1), &json!(null)));
    assert_eq!(worker["id"].as_str().map(str::len), Some(16));
    assert_eq!((&worker["role"], &worker["version"]), (&json!("all"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        (&worker["activeJobs"], &worker["lastFetchAt"], &worker["standby"]),
        (&json!(0), &json!(null), &json!(false))
    );
    assert!(worker["memoryBytes"].as_u64() > Some(1 << 20), "{worker}");
    assert!(worker["host"].as_str().is_some_and(|host| !host.is_empty()), "{worker}");
}

/// The process that answers runs no jobs, and no other one was started.
#[rocket::async_test]
async fn progress_says_that_nobody_works() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(1, 20).await;

    let progress = shop.get("/batches/1/progress").await.expect(200);
    let listed = shop.get("/batches/workers").await.expect(200);

    assert_eq!((&progress["waitingFor"], &progress["waiting"]), (&json!("workers"), &json!(2)));
    assert!(listed["items"].as_array().is_some_and(|workers| workers.iter().all(|worker| worker["role"] == "web")));
}
