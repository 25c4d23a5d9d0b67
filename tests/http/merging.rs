//! The OpenAPI document of the routes, merged into that of a host.

use rocket_batch::{Batch, BatchFairing, BatchService, MergeError};
use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::shop::{Admin, guarded_by};

/// The routes of the host, described with `utoipa`.
mod orders {
    use utoipa::{OpenApi, ToSchema};

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "only described")]
    pub struct Order {
        id: i64,
        labels: u64,
    }

    #[utoipa::path(get, path = "/orders/{id}", params(("id" = i64, Path)), responses((status = 200, body = Order)))]
    #[expect(dead_code, reason = "only described")]
    pub fn show_order() {}

    #[derive(OpenApi)]
    #[openapi(
        info(title = "Shop", version = "1.0.0"),
        paths(show_order),
        components(schemas(Order)),
        tags((name = "health", description = "Of the shop."))
    )]
    pub struct Document;
}

/// The document of the host alone.
fn hosts() -> Value {
    serde_json::to_value(orders::Document::openapi()).unwrap()
}

fn guarded() -> BatchFairing {
    let by_key = json!({ "type": "apiKey", "in": "header", "name": "X-Api-Key" });
    let fairing = Batch::fairing().read_guard::<Admin>().write_guard::<Admin>().security_scheme("key", by_key);
    fairing.configure(|config| {
        config.base = "/shop/batches".into();
        config.max_quantity = 77;
    })
}

fn merged(mut document: Value, fairing: &BatchFairing) -> Result<Value, MergeError> {
    let before = document.clone();
    let result = fairing.merge_openapi(&mut document);
    assert!(result.is_ok() || document == before, "a failure changed the document");
    result.map(|()| document)
}

/// Every reference leads somewhere, and operation ids are unique.
fn assert_valid(document: &Value) {
    assert_references(document, document);
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let mut ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
}

fn assert_references(part: &Value, document: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
            }
            members.values().for_each(|value| assert_references(value, document));
        }
        Value::Array(values) => values.iter().for_each(|value| assert_references(value, document)),
        _ => {}
    }
}

#[test]
fn the_merged_document_has_the_routes_of_both_as_configured() {
    let document = merged(hosts(), &guarded()).unwrap();

    assert_valid(&document);
    assert_eq!(document["info"], hosts()["info"]);
    assert_eq!(document["paths"]["/orders/{id}"], hosts()["paths"]["/orders/{id}"]);
    let create = &document["paths"]["/shop/batches"]["post"];
    assert_eq!((&create["operationId"], &create["security"]), (&json!("createBatch"), &json!([{ "key": [] }])));
    assert!(document["paths"].get("/batches").is_none());
    let components = &document["components"];
    assert_eq!(components["securitySchemes"]["key"]["name"], "X-Api-Key");
    assert_eq!(components["schemas"]["CreateBatch"]["properties"]["quantity"]["maximum"], 77);
    assert!(components["schemas"]["Order"].is_object() && components["schemas"]["Batch"].is_object());
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    assert_eq!(tags, ["health", "batches", "items", "workers"]);
    assert_eq!(document["tags"][0]["description"], "Of the shop.");
    assert_eq!(merged(document.clone(), &guarded()).unwrap(), document, "merging twice changes nothing");
}

#[test]
fn a_document_with_nothing_but_a_version_gets_everything() {
    let document = merged(json!({ "openapi": "3.1.0" }), &Batch::fairing().public()).unwrap();

    assert!(document["paths"]["/batches/{id}"].is_object() && document["components"]["schemas"]["Batch"].is_object());
    assert!(document["components"].get("securitySchemes").is_none(), "nothing is guarded");
    assert!(document["paths"]["/batches"]["get"].get("security").is_none());
}

#[test]
fn open_routes_stay_open_under_a_default_security_of_the_host() {
    let mut document = hosts();
    document["security"] = json!([{ "login": [] }]);

    let document = merged(document, &guarded()).unwrap();

    assert_eq!(document["paths"]["/shop/batches/health/live"]["get"]["security"], json!([]));
    assert_eq!(document["paths"]["/shop/batches"]["get"]["security"], json!([{ "key": [] }]));
}

#[test]
fn a_name_in_both_documents_is_an_error_that_names_it() {
    let table: [(&str, Value, &str); 5] = [
        (
            "/paths",
            json!({ "/shop/batches": { "get": {} } }),
            "the path `/shop/batches`, with different contents; change the setting `base`",
        ),
        (
            "/paths",
            json!({ "/shop/batches/{number}": { "get": {} } }),
            "the path `/shop/batches/{id}`, in yours `/shop/batches/{number}`; change the setting `base`",
        ),
        (
            "/paths",
            json!({ "/lots": { "get": { "operationId": "listBatches" } } }),
            "the operationId `listBatches`; rename yours",
        ),
        (
            "/components/schemas",
            json!({ "Item": { "type": "string" } }),
            "`components.schemas.Item`, with different contents; rename yours",
        ),
        (
            "/components",
            json!({ "securitySchemes": { "key": { "type": "http", "scheme": "basic" } } }),
            "`components.securitySchemes.key`, with different contents; rename yours",
        ),
    ];

    for (place, theirs, words) in table {
        let mut document = hosts();
        document.pointer_mut(place).unwrap().as_object_mut().unwrap().extend(theirs.as_object().unwrap().clone());

        let error = merged(document, &guarded()).unwrap_err();

        assert!(matches!(error, MergeError::Conflict(_)) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn only_openapi_3_1_is_accepted() {
    for (document, found) in [
        (json!({ "openapi": "3.0.3", "paths": {} }), "\"3.0.3\""),
        (json!({ "swagger": "2.0" }), "null"),
        (json!("3.1.0"), "null"),
    ] {
        let error = merged(document, &guarded()).unwrap_err();

        assert!(matches!(error, MergeError::Version(_)), "{error:?}");
        let words = format!(
            "the document must be OpenAPI 3.1, because its schemas are JSON Schema, but its `openapi` is {found}"
        );
        assert_eq!(error.to_string(), words);
    }
    for part in ["paths", "components", "tags"] {
        let error = merged(json!({ "openapi": "3.1.0", part: 7 }), &guarded()).unwrap_err();
        assert!(matches!(&error, MergeError::Malformed(name, _) if name == part), "{error}");
    }
}

#[test]
fn invalid_settings_are_an_error_that_names_the_key() {
    let fairing = Batch::fairing().public().configure(|config| config.max_quantity = 0);

    let error = merged(hosts(), &fairing).unwrap_err();

    assert!(matches!(error, MergeError::Settings(_)) && error.to_string().contains("`batch.max_quantity`"), "{error}");
}

#[rocket::async_test]
async fn a_running_host_merges_its_actual_document() {
    let shop = guarded_by(guarded()).with("batch.max_quantity", 5).with("batch.batch_size", 3).open().await;
    let batches = BatchService::fetch(shop.client.rocket()).unwrap();

    let mut document = hosts();
    batches.merge_openapi(&mut document).unwrap();

    let served = shop.get("/shop/batches/openapi.json").await.json();
    assert_valid(&document);
    let size = |document: &Value| {
        document["components"]["schemas"]["CreateBatch"]["properties"]["batchSize"]["default"].clone()
    };
    assert_eq!((size(&document), size(&served)), (json!(3), json!(3)));
    for (path, ours) in served["paths"].as_object().unwrap() {
        assert_eq!(&document["paths"][path], ours, "{path}");
    }
    assert!(document["paths"]["/orders/{id}"].is_object());
}
