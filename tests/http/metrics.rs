//! `GET /metrics`. All Rockets of a process share one recorder.

use std::collections::BTreeSet;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use rocket::{
    Request,
    http::{Header, Status},
    outcome::Outcome,
    request::{self, FromRequest},
};
use rocket_batch::Batch;

use crate::{
    shop::{Shop, a_shop, guarded_by},
    support::wait::{WAIT_TIMEOUT, until},
};

/// Reads the metrics. The time series, each with its value.
async fn scrape(shop: &Shop) -> Vec<(String, f64)> {
    let reply = shop.get("/batches/metrics").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let series = reply.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    series
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

/// The names of the time series, with their labels.
async fn names(shop: &Shop) -> BTreeSet<String> {
    scrape(shop).await.into_iter().map(|(name, _)| name).collect()
}

/// Waits until the gauges of the whole ledger are there.
async fn until_complete(shop: &Shop) -> BTreeSet<String> {
    let is_complete = |names: &BTreeSet<String>| names.contains("rocket_batch_last_item_timestamp_seconds");
    until("the gauges are read", WAIT_TIMEOUT, || names(shop), is_complete).await.unwrap()
}

#[rocket::async_test]
async fn a_scrape_shows_counts_gauges_and_buckets() {
    let shop = a_shop().with("batch.metrics_interval", "1s").open().await;
    shop.batch(1, 250).await;
    shop.until_it_is(1, "completed").await;

    let names = until_complete(&shop).await;

    for name in [
        r#"rocket_batch_jobs_total{queue="generate-product-batch-items",outcome="completed"}"#,
        r#"rocket_batch_jobs_total{queue="update-batch-status",outcome="completed"}"#,
        r#"rocket_batch_jobs{queue="generate-product-batch-items",state="waiting"}"#,
        r#"rocket_batch_jobs{queue="update-batch-status",state="active"}"#,
        r#"rocket_batch_batches{status="completed"}"#,
        r#"rocket_batch_database_pool{state="idle"}"#,
        r#"rocket_batch_chunk_duration_seconds_bucket{le="0.001"}"#,
        r#"rocket_batch_job_duration_seconds_bucket{queue="generate-product-batch-items",le="600"}"#,
        r#"rocket_batch_job_wait_seconds_count{queue="generate-product-batch-items"}"#,
        "rocket_batch_items_total",
        "rocket_batch_oldest_open_batch_seconds",
        "rocket_batch_event_streams",
        "rocket_batch_hooks_given_up",
    ] {
        assert!(names.contains(name), "{name}: {names:#?}");
    }
    let value =
        |series: &[(String, f64)], name: &str| series.iter().find(|(found, _)| found == name).map(|(_, value)| *value);
    let series = scrape(&shop).await;
    assert_eq!(value(&series, "rocket_batch_items_total"), Some(250.0));
    assert!(names.iter().any(|name| name.starts_with("rocket_batch_build_info{")));
}

/// The runner gives each test a process, and so a recorder, of its own.
#[rocket::async_test]
async fn fifty_batches_leave_as_many_time_series_as_one() {
    // The first check for stalled batches may come at any time.
    let of_batches = |names: BTreeSet<String>| names.into_iter().filter(|name| !name.contains("stalled")).collect();
    let shop = a_shop().with("batch.metrics_interval", "1s").open().await;
    shop.batch(1, 20).await;
    shop.until_it_is(1, "completed").await;
    let one: BTreeSet<_> = of_batches(until_complete(&shop).await);

    for id in 2..=50 {
        shop.batch(id, 20).await;
    }
    for id in 2..=50 {
        shop.until_it_is(id, "completed").await;
    }

    let fifty: BTreeSet<_> = of_batches(names(&shop).await);
    assert_eq!(fifty, one);
}

/// Accepts the token of the scraper.
struct Scraper;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Scraper {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match request.headers().get_one("X-Scraper") {
            Some("let me in") => Outcome::Success(Self),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

#[rocket::async_test]
async fn metrics_have_a_guard_of_their_own_also_in_a_worker_process() {
    for role in ["all", "worker"] {
        let fairing = Batch::fairing().public().metrics_guard::<Scraper>();
        let shop = guarded_by(fairing).with("batch.role", role).open().await;

        shop.get("/batches/metrics").await.problem(401, &[]);
        let allowed = shop.client.get("/batches/metrics").header(Header::new("X-Scraper", "let me in"));
        let reply = shop.ask(allowed).await;
        assert_eq!(reply.status, 200, "{role}: {reply:?}");
        assert_eq!(reply.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(reply.header("Cache-Control"), Some("no-store"));
    }
}

/// A host with its own recorder reads the metrics there.
#[rocket::async_test]
async fn a_recorder_of_the_host_gets_the_metrics_and_no_route_is_mounted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().unwrap();
    let shop = a_shop().open().await;

    shop.get("/batches/metrics").await.problem(404, &[]);
    shop.batch(1, 20).await;
    shop.until_it_is(1, "completed").await;
    let document = shop.get("/batches/openapi.json").await.json();
    assert!(document["paths"].get("/batches/metrics").is_none());
    let counted = snapshotter.snapshot().into_vec().into_iter();
    let items = counted.filter(|(key, ..)| key.key().name() == "rocket_batch_items_total").map(|(.., value)| value);
    assert_eq!(items.collect::<Vec<_>>(), [DebugValue::Counter(20)]);
}
