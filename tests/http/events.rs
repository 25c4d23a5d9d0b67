//! Server-Sent Events, through a real socket where a local client can't end a stream.

use std::time::{Duration, Instant};

use rocket::http::Status;
use rocket_batch::{Batch, BatchService};
use serde_json::{Value, json};

use crate::{
    shop::{Listening, a_shop, guarded_by},
    support::{
        TestResult,
        events::{Event, Events},
    },
};

/// The events of a shop.
async fn events_of(shop: &Listening, path: &str) -> TestResult<Events> {
    Events::of(format!("http://127.0.0.1:{}{path}", shop.port)).await
}

async fn post(shop: &Listening, path: &str, body: &Value) -> TestResult {
    let url = format!("http://127.0.0.1:{}{path}", shop.port);
    let response = reqwest::Client::new().post(url).json(body).send().await?;
    assert_eq!(response.status(), 202);
    Ok(())
}

fn items(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.data["itemsCreated"].as_u64().unwrap()).collect()
}

#[rocket::async_test]
async fn the_events_of_a_batch_begin_now_never_go_back_and_end_with_it() -> TestResult {
    let shop = a_shop().with("batch.generate.rate_limit", "5 per 1s").listen().await;
    post(&shop, "/batches", &json!({ "batchId": 7, "quantity": 200, "batchSize": 10 })).await?;

    let events = events_of(&shop, "/batches/7/events").await?;
    let headers = ["content-type", "cache-control", "x-accel-buffering"].map(|name| events.header(name));
    assert_eq!(headers, [Some("text/event-stream"), Some("no-store"), Some("no")]);
    let events = events.rest().await?;

    let (last, before) = events.split_last().ok_or("there are events")?;
    assert!(before.len() >= 3 && before.iter().all(|event| event.name == "progress"), "{before:?}");
    assert_eq!(
        (last.name.as_str(), &last.data["status"], &last.data["percent"]),
        ("finished", &json!("completed"), &json!(100))
    );
    assert!(items(&events).is_sorted(), "{:?}", items(&events));
    assert!(events.iter().map(|event| event.id.parse::<u64>().unwrap()).is_sorted());
    assert!(events.iter().any(|event| event.data["waitingFor"] == "rateLimit"), "{events:?}");

    // After the end, a new stream has the end only.
    let again = events_of(&shop, "/batches/7/events").await?.rest().await?;
    assert_eq!((again.len(), again[0].name.as_str()), (1, "finished"));
    shop.close().await;
    Ok(())
}

#[rocket::async_test]
async fn the_events_of_all_batches_begin_with_a_snapshot_and_show_new_batches() -> TestResult {
    let shop = a_shop().with("batch.generate.rate_limit", "5 per 1s").listen().await;
    post(&shop, "/batches", &json!({ "batchId": 1, "quantity": 100, "batchSize": 10 })).await?;
    let mut events = events_of(&shop, "/batches/events").await?;

    let snapshot = events.next().await?.ok_or("a snapshot")?;
    assert_eq!((snapshot.name.as_str(), &snapshot.data["items"][0]["batchId"]), ("snapshot", &json!(1)));
    post(&shop, "/batches", &json!({ "batchId": 2, "quantity": 10 })).await?;

    let mut finished = Vec::new();
    while finished.len() < 2 {
        let event = events.next().await?.ok_or("the stream goes on")?;
        assert!(event.data["batchId"].is_u64(), "{event:?}");
        if event.name == "finished" {
            finished.push(event.data["batchId"].as_u64().unwrap());
        }
    }
    finished.sort_unstable();
    assert_eq!(finished, [1, 2]);
    shop.close().await;
    Ok(())
}

/// A shutdown waits for no stream.
#[rocket::async_test]
async fn streams_end_when_the_process_shuts_down() -> TestResult {
    let shop = a_shop().without_workers().with("shutdown.grace", 60).listen().await;
    post(&shop, "/batches", &json!({ "batchId": 7, "quantity": 10 })).await?;
    let mut streams = Vec::new();
    for path in ["/batches/7/events", "/batches/events"].repeat(100) {
        let mut events = events_of(&shop, path).await?;
        assert!(events.next().await?.is_some());
        streams.push(events);
    }

    let start = Instant::now();
    shop.close().await;

    assert!(start.elapsed() < Duration::from_secs(30), "{:?}: Rocket waited for a stream", start.elapsed());
    for events in streams {
        assert_eq!(events.rest().await?.len(), 0);
    }
    Ok(())
}

#[rocket::async_test]
async fn a_caller_has_at_most_20_streams() -> TestResult {
    let fairing = Batch::fairing().public().actor(|request| request.headers().get_one("x-who").map(str::to_owned));
    let shop = guarded_by(fairing).without_workers().open().await;
    shop.batch(7, 10).await;
    let watch = |who: &'static str| shop.client.get("/batches/7/events").header(crate::shop::from(who)).dispatch();

    let mut open = Vec::new();
    for _ in 0..20 {
        let response = watch("ada").await;
        assert_eq!(response.status(), Status::Ok);
        open.push(response);
    }
    let refused = shop.ask(shop.client.get("/batches/7/events").header(crate::shop::from("ada"))).await;
    refused.problem(429, &["20 event streams"]);
    assert!(refused.header("Retry-After").is_some());
    assert_eq!(watch("bob").await.status(), Status::Ok);
    drop(open);
    assert_eq!(watch("ada").await.status(), Status::Ok);
    Ok(())
}

#[rocket::async_test]
async fn a_batch_that_does_not_exist_has_no_events() {
    let shop = a_shop().open().await;

    for id in ["99", "0", "seven"] {
        shop.get(&format!("/batches/{id}/events")).await.problem(404, &["there is no batch"]);
    }
}

#[rocket::async_test]
async fn a_host_watches_a_batch() {
    use rocket::futures::StreamExt as _;
    let shop = a_shop().open().await;
    let batches = BatchService::fetch(shop.client.rocket()).unwrap();
    shop.batch(7, 5_000).await;

    let seen: Vec<_> = batches.watch(7).await.unwrap().collect().await;

    assert!(seen.iter().map(|progress| progress.items_created).is_sorted());
    assert!(seen.last().unwrap().status.is_finished());
    assert!(batches.watch(99).await.is_err());
}
