//! The OpenAPI document matches the routes.

use std::{collections::BTreeSet, fs, path::Path};

use rocket::http::{ContentType, Method};
use rocket_batch::Batch;
use serde_json::{Value, json};

use crate::{
    contract::Contract,
    control::{refuse_items, take_items},
    reconciliation::delete_items,
    shop::{Admin, Reader, Reply, Shop, Writer, a_shop, from, guarded_by},
};

fn document() -> Value {
    Batch::openapi()
}

/// Visits every value of the document, with its path.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}/{name}"), visit));
        }
        Value::Array(entries) => {
            entries.iter().enumerate().for_each(|(at, entry)| walk(entry, &format!("{path}/{at}"), visit));
        }
        _ => {}
    }
}

#[test]
fn the_document_in_the_repository_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, serde_json::to_string_pretty(&document()).unwrap() + "\n").unwrap();
    }

    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap_or_default()).unwrap_or_default();

    assert!(
        kept == document(),
        "docs/openapi.json is out of date; check the difference after\n\n  \
         UPDATE=1 cargo test --test http openapi\n"
    );
}

#[rocket::async_test]
async fn the_operations_are_the_mounted_routes() {
    let shop = a_shop().with("batch.docs", false).with("batch.dashboard", false).open().await;
    let mounted: BTreeSet<_> = shop
        .client
        .rocket()
        .routes()
        .filter(|route| route.uri.base() == "/batches")
        .map(|route| {
            let path = route.uri.path().trim_end_matches('/').replace('<', "{").replace('>', "}");
            (route.method.as_str().to_lowercase(), path)
        })
        .collect();

    let contract = Contract::new(document());
    let documented: BTreeSet<_> =
        contract.operations().map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();

    assert_eq!(documented, mounted);
}

#[test]
fn every_operation_is_described_completely() {
    let contract = Contract::new(document());
    let mut names = BTreeSet::new();

    for (method, path, operation) in contract.operations() {
        let route = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{route}: the name is in use");
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{route}");
        assert!(contract_tags().contains(&operation["tags"][0]), "{route}");
        let responses = operation["responses"].as_object().unwrap();
        for class in ['2', '5'] {
            assert!(responses.keys().any(|status| status.starts_with(class)), "{route} has no {class}xx");
        }
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{route} {status}");
            let kind = match operation["operationId"].as_str() {
                _ if !status.starts_with('2') => "application/problem+json",
                Some("watchBatch" | "watchBatches") => "text/event-stream",
                Some("getMetrics") => "text/plain; version=0.0.4; charset=utf-8",
                _ => "application/json",
            };
            let probe = operation["operationId"] == "probeReady" && status == "503";
            assert!(probe || response["content"][kind]["schema"].is_object(), "{route} {status}");
        }
    }
}

fn contract_tags() -> Vec<Value> {
    document()["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect()
}

/// Checks the rules of OpenAPI for the features that the document uses.
#[test]
fn the_document_is_valid_openapi() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let only = |route: &str, object: &Value, known: &[&str]| {
        let unknown = object.as_object().unwrap().keys().find(|key| !known.contains(&key.as_str()));
        assert!(unknown.is_none(), "{route} has {unknown:?}");
    };
    only("the document", &document, &["openapi", "info", "tags", "paths", "components"]);
    only("its components", &document["components"], &["schemas", "securitySchemes"]);

    for (method, path, operation) in Contract::new(document.clone()).operations() {
        let route = format!("{method} {path}");
        let known =
            ["operationId", "summary", "description", "tags", "parameters", "requestBody", "responses", "security"];
        only(&route, operation, &known);
        let mut in_path = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            only(&route, parameter, &["name", "in", "required", "description", "schema"]);
            assert!(parameter["description"].is_string() && parameter["schema"].is_object(), "{route}: {parameter}");
            if parameter["in"] == "path" {
                assert_eq!(parameter["required"], true, "{route}");
                in_path.insert(format!("{{{}}}", parameter["name"].as_str().unwrap()));
            }
        }
        let named = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(in_path, named, "{route}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(status.len() == 3 && status.parse::<u16>().is_ok(), "{route}: {status}");
            only(&route, response, &["description", "headers", "content"]);
        }
        for scheme in operation["security"].as_array().into_iter().flatten() {
            let name = scheme.as_object().unwrap().keys().next().unwrap();
            assert!(document["components"]["securitySchemes"][name].is_object(), "{route}: {name}");
        }
    }
}

#[test]
fn every_reference_has_a_schema_and_every_schema_is_referenced() {
    let document = document();
    let mut led_to = BTreeSet::new();

    walk(&document, "", &mut |path, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{path}: {reference}"));
            assert!(document.pointer(pointer).is_some(), "{path}: {reference}");
            led_to.insert(reference.rsplit('/').next().unwrap().to_owned());
        }
    });

    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(led_to, schemas.keys().cloned().collect());
}

#[test]
fn every_example_matches_its_schema() {
    let document = document();
    let contract = Contract::new(document.clone());
    let mut examples = 0;

    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
            contract.fits(&reference, example).unwrap_or_else(|why| panic!("{name}: {why}"));
            examples += 1;
        }
    }
    walk(&document["paths"], "", &mut |path, value| {
        for example in value.get("examples").and_then(Value::as_object).into_iter().flat_map(|all| all.values()) {
            contract.fits(&value["schema"], &example["value"]).unwrap_or_else(|why| panic!("{path}: {why}"));
            examples += 1;
        }
    });

    assert!(examples > 40, "{examples}");
}

/// Descriptions are the doc comments of the types, which could contain Rust.
#[test]
fn descriptions_do_not_contain_rust() {
    walk(&document(), "", &mut |path, value| {
        if let Some(text) = value.get("description").and_then(Value::as_str) {
            for word in ["```", "::", "[`", "rust", "_size", "_per_"] {
                assert!(!text.contains(word), "{path} has {word}: {text}");
            }
        }
    });
}

#[rocket::async_test]
async fn the_settings_of_the_host_are_in_its_document() {
    let shop = a_shop().with("batch.base", "/shop/lots").with("batch.max_quantity", 700);
    let shop = shop.with("batch.max_jobs_per_batch", 10).open().await;

    let document = shop.get("/shop/lots/openapi.json").await.json();

    assert!(document["paths"]["/shop/lots/{id}"].is_object());
    let fields = &document["components"]["schemas"]["CreateBatch"]["properties"];
    for (field, max) in [("quantity", 700), ("maxJobsPerBatch", 10)] {
        assert_eq!((&fields[field]["minimum"], &fields[field]["maximum"]), (&json!(1), &json!(max)), "{field}");
    }
}

async fn secured(shop: &Shop) -> (BTreeSet<String>, Value) {
    let document = shop.get("/batches/openapi.json").await.json();
    let contract = Contract::new(document.clone());
    let secured = contract.operations().filter(|(_, _, operation)| operation.get("security").is_some());
    let secured = secured.map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned()).collect();
    (secured, document["components"]["securitySchemes"].clone())
}

#[rocket::async_test]
async fn guarded_operations_require_the_security_scheme_of_the_host() {
    let by_key = json!({ "type": "apiKey", "in": "header", "name": "X-Who" });
    let shop = guarded_by(Batch::fairing().guard::<Admin>().security_scheme("key", by_key.clone())).open().await;
    let writes =
        ["cancelBatch", "createBatch", "pauseBatch", "previewBatch", "repairBatch", "resumeBatch", "retryBatch"];

    let (all, schemes) = secured(&shop).await;
    assert!(all.len() == 22 + usize::from(cfg!(feature = "prometheus")) && !all.contains("probeReady"), "{all:?}");
    assert_eq!(schemes, json!({ "key": by_key }));

    let shop = guarded_by(Batch::fairing().public().write_guard::<Writer>()).open().await;
    let (of_writes, schemes) = secured(&shop).await;
    assert_eq!(of_writes, writes.map(str::to_owned).into());
    assert_eq!(schemes, json!({ "bearer": { "type": "http", "scheme": "bearer" } }));

    let (none, schemes) = secured(&a_shop().open().await).await;
    assert!(none.is_empty() && schemes.is_null(), "{none:?} {schemes}");
}

#[rocket::async_test]
async fn the_document_and_its_page_need_no_credentials_and_can_be_disabled() {
    let open = guarded_by(Batch::fairing().read_guard::<Reader>().write_guard::<Writer>()).open().await;
    let off = a_shop().with("batch.docs", false).open().await;
    let files = |shop: &Shop| {
        let paths = shop.client.rocket().routes().map(|route| route.uri.path().to_owned());
        paths.filter(|path| path.contains("/docs") || path.contains("openapi")).collect::<BTreeSet<_>>()
    };

    assert!(files(&open).contains("/batches/openapi.json"));
    assert_eq!(files(&open).contains("/batches/docs"), cfg!(feature = "swagger-ui"));
    for path in files(&open) {
        let reply = open.get(&path).await;
        assert_eq!((reply.status, reply.header("X-Content-Type-Options")), (200, Some("nosniff")), "{path}");
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(reply.header("Referrer-Policy"), Some("no-referrer"));
    }
    assert_eq!(files(&off), BTreeSet::new());
    off.get("/batches/openapi.json").await.problem(404, &[]);
}

/// The page refers to no other host.
#[cfg(feature = "swagger-ui")]
#[rocket::async_test]
async fn the_documentation_page_loads_only_mounted_files() {
    let shop = a_shop().with("batch.base", "/shop/lots").open().await;

    let page = shop.get("/shop/lots/docs").await;

    let links: Vec<_> = page.body.split(['"']).filter(|text| text.starts_with('/')).collect();
    assert_eq!(links.len(), 5, "{links:?}");
    for link in links {
        assert_eq!(shop.get(link).await.status, 200, "{link}");
    }
    assert!(!page.body.contains("http"), "{}", page.body);
    assert_eq!(page.content_type.as_deref(), Some("text/html; charset=utf-8"));
}

/// Checks that the schema of a new batch and the route accept the same bodies.
#[rocket::async_test]
async fn the_schema_of_a_new_batch_refuses_what_the_route_refuses() {
    let shop = a_shop().without_workers().open().await;
    let contract = Contract::new(document());
    let schema = json!({ "$ref": "#/components/schemas/CreateBatch" });
    let table = [
        (json!({ "quantity": 1 }), true),
        (json!({ "quantity": 10_000_000 }), true),
        (json!({ "quantity": 0 }), false),
        (json!({ "quantity": 10_000_001 }), false),
        (json!({ "quantity": 5.0 }), true),
        (json!({ "quantity": 1.5 }), false),
        (json!({ "quantity": "1" }), false),
        (json!({}), false),
        (json!([]), false),
        (json!({ "quantity": 1, "colour": "red" }), false),
        (
            json!({ "quantity": 1, "batchId": null, "batchSize": null, "qrCodePrefix": null, "maxJobsPerBatch": null }),
            true,
        ),
        (json!({ "quantity": 1, "batchId": 9_007_199_254_740_991_i64 }), true),
        (json!({ "quantity": 1, "batchId": 9_007_199_254_740_992_i64 }), false),
        (json!({ "quantity": 1, "batchId": 0 }), false),
        (json!({ "quantity": 1, "batchSize": 10_000 }), true),
        (json!({ "quantity": 1, "batchSize": 10_001 }), false),
        (json!({ "quantity": 1, "batchSize": 0 }), false),
        (json!({ "quantity": 1, "maxJobsPerBatch": 1_000 }), true),
        (json!({ "quantity": 1, "maxJobsPerBatch": 1_001 }), false),
        (json!({ "quantity": 1, "qrCodePrefix": "sixteen-letters-" }), true),
        (json!({ "quantity": 1, "qrCodePrefix": "seventeen-letters" }), false),
        (json!({ "quantity": 1, "qrCodePrefix": "" }), false),
        (json!({ "quantity": 1, "qrCodePrefix": "QR\n" }), false),
    ];

    for (body, good) in table {
        assert_eq!(contract.fits(&schema, &body).is_ok(), good, "{body}");
        assert_eq!(shop.post("/batches", &body).await.status == 202, good, "{body}");
    }
}

struct Asked<'a>(&'a Shop);

impl Asked<'_> {
    async fn by(&self, who: Option<&'static str>, method: Method, path: &str, body: Option<&str>) -> Reply {
        let mut request = self.0.client.req(method, path.to_owned());
        who.into_iter().for_each(|who| request.add_header(from(who)));
        if let Some(body) = body {
            request.add_header(ContentType::JSON);
            request.set_body(body);
        }
        self.0.ask(request).await
    }

    /// Sends requests with all rights. The shop checks each response against its document.
    async fn all(&self, table: &[(Method, &str, Option<&str>, u16)]) {
        for (method, path, body, status) in table {
            let reply = self.by(Some("admin"), *method, path, *body).await;
            assert_eq!(reply.status, *status, "{method} {path} {body:?}: {reply:?}");
        }
    }
}

/// Requests what answers differently once the history of a batch is removed.
async fn asked_without_history() -> Shop {
    use Method::{Get, Post};
    let forgetful = a_shop().with("batch.generate.attempts", 1).with("batch.keep_history", "1s").open().await;
    refuse_items(&forgetful, "TRUE");
    forgetful.batch(1, 10).await;
    forgetful.until_its_history_is_removed(1).await;
    Asked(&forgetful)
        .all(&[
            (Get, "/batches/1/jobs", None, 409),
            (Get, "/batches/1/failed-jobs", None, 409),
            (Get, "/batches/1/failure-groups", None, 409),
            (Get, "/batches/1/job-map", None, 409),
            (Post, "/batches/1/retry", None, 409),
            (Post, "/batches/1/reconciliation/repair", None, 409),
        ])
        .await;
    forgetful
}

/// Creates the batches 1 and 2, and requests each other status of a new batch and of a preview.
async fn asked_to_create(shop: &Shop) {
    use Method::Post;
    let long = format!("{{\"quantity\":1{}}}", " ".repeat(70_000));
    Asked(shop)
        .all(&[
            (Post, "/batches", Some(r#"{"quantity":30,"batchId":1,"batchSize":10,"qrCodePrefix":"QR"}"#), 202),
            (Post, "/batches", Some(r#"{"quantity":30,"batchId":2,"batchSize":10}"#), 202),
            (Post, "/batches", Some(r#"{"quantity":30,"batchId":2}"#), 409),
            (Post, "/batches", Some(r#"{"quantity":0}"#), 422),
            (Post, "/batches", Some("{}"), 422),
            (Post, "/batches", Some("{"), 400),
            (Post, "/batches", Some(&long), 413),
            (Post, "/batches", None, 415),
            (Post, "/batches/preview", Some(r#"{"quantity":30,"batchId":3}"#), 200),
            (Post, "/batches/preview", Some(r#"{"quantity":30,"batchId":2}"#), 422),
            (Post, "/batches/preview", Some("{"), 400),
            (Post, "/batches/preview", Some(&long), 413),
            (Post, "/batches/preview", None, 415),
        ])
        .await;
}

/// Requests each status of a retry. Batch 2 failed, and completes afterwards.
async fn asked_to_retry(shop: &Shop) {
    use Method::Post;
    let long = format!("{{\"limit\":1{}}}", " ".repeat(70_000));
    let text = shop.client.post("/batches/2/retry").header(from("admin")).header(ContentType::Plain).body("{}");
    assert_eq!(shop.ask(text).await.status, 415);
    take_items(shop);
    Asked(shop)
        .all(&[
            (Post, "/batches/2/retry", Some("{"), 400),
            (Post, "/batches/2/retry", Some(&long), 413),
            (Post, "/batches/2/retry", Some(r#"{"limit":0}"#), 422),
            (Post, "/batches/1/retry", None, 409),
            (Post, "/batches/9/retry", None, 404),
            (Post, "/batches/2/retry", None, 200),
        ])
        .await;
}

/// Requests each status of a check and of a repair. Batch 1 is completed.
async fn asked_to_repair(shop: &Shop) {
    use Method::{Get, Post};
    let repair = "/batches/1/reconciliation/repair";
    Asked(shop).all(&[(Post, repair, None, 409), (Post, "/batches/9/reconciliation/repair", None, 404)]).await;
    delete_items(shop, "batch = 1 AND ordinal = 7");
    Asked(shop)
        .all(&[
            (Get, "/batches/1/reconciliation?codes=true", None, 200),
            (Get, "/batches/1/reconciliation?codes=yes", None, 422),
            (Get, "/batches/9/reconciliation", None, 404),
            (Post, repair, None, 200),
        ])
        .await;
}

async fn asked_about_the_ledger(shop: &Shop) {
    use Method::Get;
    Asked(shop)
        .all(&[
            (Get, "/batches/rights", None, 200),
            (Get, "/batches/workers", None, 200),
            (Get, "/batches/1/audit", None, 200),
            (Get, "/batches/1/audit?cursor=x", None, 400),
            (Get, "/batches/1/audit?limit=0", None, 422),
            (Get, "/batches/9/audit", None, 404),
            (Get, "/batches/audit?action=created", None, 200),
            (Get, "/batches/audit?cursor=x", None, 400),
            (Get, "/batches/audit?action=x", None, 422),
        ])
        .await;
}

/// Requests every documented status, except those that need a broken database or a slow caller.
#[rocket::async_test]
async fn every_documented_status_occurs() {
    use Method::{Get, Post};
    let guarded = || guarded_by(Batch::fairing().guard::<Admin>());
    let working = guarded().with("batch.generate.attempts", 1).open().await;
    let idle = guarded().without_workers().open().await;
    refuse_items(&working, "NEW.batch = 2");

    asked_to_create(&working).await;
    let until = async |id: u8, status: &str| {
        let path = format!("/batches/{id}/progress");
        while Asked(&working).by(Some("admin"), Get, &path, None).await.json()["status"] != status {
            tokio::task::yield_now().await;
        }
    };
    until(1, "completed").await;
    until(2, "failed").await;
    let items = Asked(&working).by(Some("admin"), Get, "/batches/1/items?limit=1", None).await.json();
    let code = items["items"][0]["code"].as_str().unwrap();
    Asked(&working)
        .all(&[
            (Get, "/batches?limit=1&status=failed", None, 200),
            (Get, "/batches?cursor=x", None, 400),
            (Get, "/batches?limit=0", None, 422),
            (Get, "/batches?status=x", None, 422),
            (Get, "/batches/1", None, 200),
            (Get, "/batches/2", None, 200),
            (Get, "/batches/9", None, 404),
            (Get, "/batches/x", None, 404),
            (Get, "/batches/9/progress", None, 404),
            (Get, "/batches/1/items", None, 200),
            (Get, "/batches/1/items?cursor=x", None, 400),
            (Get, "/batches/1/items?limit=0", None, 422),
            (Get, "/batches/9/items", None, 404),
            (Get, &format!("/batches/items/{code}"), None, 200),
            (Get, "/batches/items/x", None, 404),
            (Get, "/batches/events", None, 200),
            (Get, "/batches/1/events", None, 200),
            (Get, "/batches/9/events", None, 404),
            (Get, "/batches/2/jobs?state=failed", None, 200),
            (Get, "/batches/2/jobs?cursor=x", None, 400),
            (Get, "/batches/2/jobs?state=x", None, 422),
            (Get, "/batches/9/jobs", None, 404),
            (Get, "/batches/2/failed-jobs", None, 200),
            (Get, "/batches/2/failed-jobs?cursor=x", None, 400),
            (Get, "/batches/2/failed-jobs?limit=0", None, 422),
            (Get, "/batches/9/failed-jobs", None, 404),
            (Get, "/batches/2/failure-groups", None, 200),
            (Get, "/batches/2/failure-groups?cursor=x", None, 400),
            (Get, "/batches/2/failure-groups?limit=0", None, 422),
            (Get, "/batches/9/failure-groups", None, 404),
            (Get, "/batches/2/job-map", None, 200),
            (Get, "/batches/9/job-map", None, 404),
        ])
        .await;
    asked_about_the_ledger(&working).await;
    asked_to_retry(&working).await;
    asked_to_repair(&working).await;
    let forgetful = asked_without_history().await;
    Asked(&idle)
        .all(&[
            (Post, "/batches", Some(r#"{"quantity":30,"batchId":1}"#), 202),
            (Post, "/batches/1/retry", None, 409),
            (Post, "/batches/1/resume", None, 409),
            (Post, "/batches/1/pause", None, 200),
            (Post, "/batches/1/pause", None, 409),
            (Post, "/batches/1/resume", None, 200),
            (Post, "/batches/1/cancel", None, 200),
            (Post, "/batches/1/cancel", None, 409),
            (Post, "/batches/1/reconciliation/repair", None, 409),
            (Post, "/batches", Some(r#"{"quantity":100001,"batchId":2,"batchSize":10000}"#), 202),
            (Get, "/batches/2/reconciliation?refresh=true", None, 202),
            (Post, "/batches/9/pause", None, 404),
            (Post, "/batches/9/resume", None, 404),
            (Post, "/batches/9/cancel", None, 404),
            (Get, "/batches/health/live", None, 200),
            (Get, "/batches/health/ready", None, 200),
        ])
        .await;
    let contract = idle.contract.as_ref().unwrap();
    for (method, path, operation) in contract.operations() {
        let path = path.replace("{id}", "1").replace("{code}", "x");
        if operation.get("security").is_some() {
            Asked(&idle).by(None, method.parse().unwrap(), &path, None).await.problem(401, &[]);
            Asked(&idle).by(Some("guest"), method.parse().unwrap(), &path, None).await.problem(403, &[]);
        }
    }
    if cfg!(feature = "prometheus") {
        Asked(&idle).all(&[(Get, "/batches/metrics", None, 200)]).await;
    }
    idle.client.rocket().shutdown().notify();
    idle.until_answered("/batches/health/ready", 503).await;

    let shops = [&working, &idle, &forgetful];
    let seen: BTreeSet<_> = shops.iter().flat_map(|shop| shop.contract.as_ref().unwrap().seen()).collect();
    for (_, _, operation) in contract.operations() {
        let id = operation["operationId"].as_str().unwrap();
        for status in operation["responses"].as_object().unwrap().keys() {
            let status = status.parse().unwrap();
            // A caller gets 429 in the tests of the event streams.
            let needs_more = [408, 429, 500, 503].contains(&status);
            assert!(needs_more || seen.contains(&(id.to_owned(), status)), "{id} never answered {status}");
        }
    }
}
