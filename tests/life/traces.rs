//! One trace has a request and all work on its batch, on every process. The collector is a server
//! of the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Method;
use rocket::{Config, State, fairing::AdHoc, post, routes, serde::json::Json};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{
    is_complete,
    support::{
        TestResult,
        host::{Home, Store},
        redis::Redis,
    },
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const JOBS: usize = 20;

/// A span as the collector received it.
#[derive(Debug, Clone)]
struct Span {
    process: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: i64,
    fields: BTreeMap<String, String>,
    links: Vec<(String, String)>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

#[post("/v1/traces", data = "<export>")]
fn receive(export: Json<Value>, spans: &State<Spans>) -> Json<Value> {
    let mut spans = spans.lock().unwrap();
    for of_process in list(&export, "resourceSpans") {
        let process = fields_of(&of_process["resource"])["service.instance.id"].clone();
        for scope in list(of_process, "scopeSpans") {
            spans.extend(list(scope, "spans").map(|span| read(span, &process)));
        }
    }
    Json(json!({}))
}

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn read(span: &Value, process: &str) -> Span {
    Span {
        process: process.to_owned(),
        trace: text(&span["traceId"]),
        id: text(&span["spanId"]),
        parent: text(&span["parentSpanId"]),
        name: text(&span["name"]),
        kind: span["kind"].as_i64().unwrap_or_default(),
        fields: fields_of(span),
        links: list(span, "links").map(|link| (text(&link["traceId"]), text(&link["spanId"]))).collect(),
    }
}

fn fields_of(of: &Value) -> BTreeMap<String, String> {
    let value = |value: &Value| value.as_object().and_then(|typed| typed.values().next()).cloned().unwrap_or_default();
    let plain = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list(of, "attributes").map(|field| (text(&field["key"]), plain(value(&field["value"])))).collect()
}

/// Starts a collector, and returns its endpoint.
async fn collector(spans: Spans) -> TestResult<String> {
    let (opened, port) = oneshot::channel();
    let opened = Mutex::new(Some(opened));
    let config = Config { port: 0, log_level: rocket::config::LogLevel::Off, ..Config::debug_default() };
    let config = rocket::figment::Figment::from(config).merge(("limits.json", "16 MiB"));
    let announce = AdHoc::on_liftoff("Port", move |rocket| {
        let opened = opened.lock().unwrap().take();
        Box::pin(async move {
            let _ = opened.map(|opened| opened.send(rocket.config().port));
        })
    });
    let server = rocket::custom(config).manage(spans).mount("/", routes![receive]).attach(announce);
    tokio::spawn(async move { server.launch().await.map(drop) });
    let port = tokio::time::timeout(Duration::from_secs(10), port).await??;
    Ok(format!("http://127.0.0.1:{port}/v1/traces"))
}

#[tokio::test]
async fn one_trace_has_a_request_and_all_work_on_its_batch_on_three_processes() -> TestResult {
    let (redis, spans) = (Redis::start().await, Spans::default());
    let endpoint = collector(spans.clone()).await?;
    let home = Home::on_redis(Store::Postgres, redis.port)?
        .quick()
        .with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint)
        .with("ROCKET_BATCH__GENERATE__CONCURRENCY", "1");
    let web = home.start_as("web").await?;
    let workers = [home.start_as("worker").await?, home.start_as("worker").await?];
    let request = web.request(Method::POST, "/batches").header("traceparent", format!("00-{TRACE}-{SPAN}-01"));
    let accepted: Value = request.json(&json!({ "quantity": 100 * JOBS })).send().await?.json().await?;
    let batch = accepted["batchId"].as_i64().ok_or("no batch")?;
    is_complete(&web, batch, 100 * JOBS as i64).await?;
    web.until_the_hook_was_called(batch).await?;
    for host in workers.into_iter().chain([web]) {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }

    // A process sends its last spans before it ends.
    let spans = spans.lock().unwrap().clone();
    let ours: Vec<_> = spans.iter().filter(|span| span.trace == TRACE).collect();
    let named = |name: &str| ours.iter().copied().filter(|span| span.name == name).collect::<Vec<_>>();
    let processes: BTreeSet<_> = ours.iter().map(|span| &span.process).collect();
    assert_eq!(processes.len(), 3, "{spans:#?}");

    let [request, create] = ["POST /batches", "send generate-product-batch-items"].map(|name| named(name)[0]);
    assert_eq!((request.parent.as_str(), request.kind), (SPAN, 2));
    assert_eq!(request.fields["http.response.status_code"], "202");
    assert_eq!((&create.parent, create.kind), (&request.id, 4));
    assert_eq!(create.fields["messaging.batch.message_count"], JOBS.to_string());

    let attempts = named("process generate-product-batch-items");
    let jobs: BTreeSet<_> = attempts.iter().map(|span| span.fields["messaging.message.id"].clone()).collect();
    assert_eq!(jobs, (0..JOBS).map(|seq| format!("b{batch}-j{seq}-g0")).collect());
    let hooks = named("process update-batch-status");
    assert!(!hooks.is_empty());
    for span in attempts.iter().chain(&hooks) {
        assert_eq!((&span.parent, span.kind), (&create.id, 5), "{span:#?}");
        assert_eq!(span.links, [(TRACE.to_owned(), create.id.clone())]);
        assert_eq!(
            (&*span.fields["messaging.system"], &*span.fields["messaging.operation.type"]),
            ("rocket_batch", "process")
        );
        assert!(!span.fields.contains_key("error.type"), "{span:#?}");
    }
    let ids: BTreeSet<_> = ours.iter().map(|span| &*span.id).chain([SPAN]).collect();
    let orphans: Vec<_> = ours.iter().filter(|span| !ids.contains(&*span.parent)).collect();
    assert!(orphans.is_empty(), "the trace is not connected: {orphans:#?}");
    assert!(named("insert chunk").len() >= JOBS / 2, "{}", named("insert chunk").len());
    Ok(())
}
