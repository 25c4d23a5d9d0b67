//! Checks the responses of a shop against its OpenAPI document.
//!
//! Every response in every test is checked. The test fails if the document lacks the status, the
//! body or a header of a response, or one of its members.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use jsonschema::Validator;
use rocket::local::asynchronous::Client;
use serde_json::{Value, json};

use crate::shop::Reply;

pub struct Contract {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
    seen: Mutex<BTreeSet<(String, u16)>>,
}

impl Contract {
    pub fn new(document: Value) -> Self {
        Self { document: closed(document), validators: Mutex::default(), seen: Mutex::default() }
    }

    /// The document that the shop serves, if it serves one.
    pub async fn of(client: &Client) -> Option<Self> {
        let base = client.rocket().figment().extract_inner("batch.base").unwrap_or_else(|_| "/batches".to_owned());
        let document = client.get(format!("{base}/openapi.json")).dispatch().await.into_json::<Value>().await?;
        document.get("openapi").is_some().then(|| Self::new(document))
    }

    /// Every operation with its method and its path.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, operations)| {
            operations
                .as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    /// Returns the operation of a request. If two match, returns the one whose path does not start
    /// with a parameter, as Rocket does.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.trim_end_matches('/');
        let is_file = ["/docs", "/openapi.json"].iter().any(|file| path.ends_with(file));
        if is_file || path.contains("/dashboard") {
            return None;
        }
        let fitting =
            self.operations().filter(|(verb, template, _)| verb.eq_ignore_ascii_case(method) && fits(template, path));
        fitting.min_by_key(|(_, template, _)| template.starts_with("/batches/{")).map(|(_, _, operation)| operation)
    }

    /// Panics if the response does not match the document. Ignores paths that are not in the
    /// document.
    pub fn check(&self, method: &str, path: &str, reply: &Reply) {
        let Some(operation) = self.operation(method, path) else { return };
        let id = operation["operationId"].as_str().unwrap();
        self.seen.lock().unwrap().insert((id.to_owned(), reply.status));
        let response = &operation["responses"][reply.status.to_string()];
        assert!(response.is_object(), "{id} has no documented status {}: {reply:?}", reply.status);
        let kind = reply.content_type.as_deref().unwrap_or_default();
        let schema = &response["content"][kind]["schema"];
        assert!(schema.is_object(), "{id} has no documented {} with {kind}: {reply:?}", reply.status);
        let body = if kind.starts_with("text/") { json!(reply.body) } else { reply.json() };
        self.fits(schema, &body).unwrap_or_else(|why| panic!("{id} {}: {why}: {}", reply.status, reply.body));
        for (header, documented) in response["headers"].as_object().into_iter().flatten() {
            let there = reply.header(header).is_some();
            assert!(
                there || documented["required"] != true,
                "{id} {} lacks the documented header {header}",
                reply.status
            );
        }
    }

    /// Checks a value against a schema of the document.
    pub fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let validator = self
            .validators
            .lock()
            .unwrap()
            .entry(schema.to_string())
            .or_insert_with(|| {
                let mut whole = schema.clone();
                whole["components"] = self.document["components"].clone();
                Arc::new(jsonschema::draft202012::new(&whole).unwrap_or_else(|error| panic!("{error}: {schema}")))
            })
            .clone();
        validator.validate(value).map_err(|error| format!("{} at {}", error, error.instance_path()))
    }

    /// The statuses that each operation has returned so far.
    pub fn seen(&self) -> BTreeSet<(String, u16)> {
        self.seen.lock().unwrap().clone()
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let fit = |(part, text): (&&str, &&str)| part.starts_with('{') || part == text;
    template.len() == path.len() && template.iter().zip(&path).all(fit)
}

/// The document with schemas that allow no other members. Its own schemas are open, because a later
/// version may add members, but this version must document all that it has. Problems may have
/// extension members.
fn closed(mut document: Value) -> Value {
    for (name, schema) in document["components"]["schemas"].as_object_mut().unwrap() {
        if schema.get("properties").is_some() && name != "Problem" {
            schema["additionalProperties"] = json!(false);
        }
    }
    document
}
