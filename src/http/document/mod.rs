//! Builds the OpenAPI document from the mounted routes.
//!
//! ```text
//!   routes: Endpoint { path, method, tag, Input.., Output } ──┐
//!   the host's guards and security scheme                     ──┼──▶ docs/openapi.json, <base>/openapi.json
//!   settings: base, role, limits                              ──┘
//! ```
//!
//! Not described: what Rocket does by itself (`HEAD`, a slash at the end of a path), and the files
//! of [`docs`](super::docs) and of the live page.

mod examples;
mod merge;

pub use self::merge::MergeError;
pub(crate) use self::merge::merge;

use rocket::http::Status;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    openapi::{Endpoint, Operation, Tag},
    origin,
    problem::Problem,
    rights::Security,
    routes,
};
use crate::config::Config;

/// The document of a process with the settings `config` and the security scheme `security`.
pub(crate) fn document(config: &Config, security: &Security) -> Value {
    let mut builder = Builder::new(&config.base);
    if config.role.serves_routes() {
        for endpoint in routes::guarded() {
            builder.add(&endpoint, security.scheme_for(endpoint.method()));
        }
        routes::unguarded().iter().for_each(|endpoint| builder.add(endpoint, None));
    }
    for endpoint in routes::open() {
        builder.add(&endpoint, None);
    }
    #[cfg(feature = "prometheus")]
    if let Some(scheme) = security.of_metrics() {
        super::metrics::routes().iter().for_each(|endpoint| builder.add(endpoint, scheme));
    }
    builder.finish(config, security)
}

/// A document that is being built.
struct Builder<'a> {
    base: &'a str,
    /// Two generators, because the schema of a type may differ between input and output: a field
    /// with a default is optional in a request, but present in every response.
    input: SchemaGenerator,
    output: SchemaGenerator,
    /// The operations of each path, by method.
    paths: Map<String, Value>,
}

impl<'a> Builder<'a> {
    fn new(base: &'a str) -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self {
            base,
            input: settings.clone().for_deserialize().into_generator(),
            output: settings.for_serialize().into_generator(),
            paths: Map::new(),
        }
    }

    /// Adds `endpoint`. Callers need the security scheme `scheme`, if it is given.
    fn add(&mut self, endpoint: &Endpoint, scheme: Option<&str>) {
        let mut operation = Operation::new(&mut self.input, &mut self.output);
        endpoint.describe(&mut operation);
        origin::describe(endpoint.method(), &mut operation);
        operation.problem("An internal error; the server's log has the cause.", &internal_error());
        if let Some(scheme) = scheme {
            describe_security(scheme, &mut operation);
        }
        let (operation, method) = (operation.finish(), endpoint.method().as_str().to_ascii_lowercase());
        let operations = self.paths.entry(endpoint.path(self.base)).or_insert_with(|| json!({}));
        if let Some(operations) = operations.as_object_mut() {
            operations.insert(method, operation);
        }
    }

    fn finish(mut self, config: &Config, security: &Security) -> Value {
        let mut schemas = self.input.take_definitions(true);
        schemas.extend(self.output.take_definitions(true));
        insert_limits(&mut schemas, config);
        examples::insert_into(&mut schemas);
        let mut components = Map::from_iter([("schemas".to_owned(), schemas.into())]);
        components.extend(security.schemes().map(|schemes| ("securitySchemes".to_owned(), schemes)));
        json!({
            "openapi": "3.1.0",
            "info": info(),
            "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.description() })),
            "paths": self.paths,
            "components": components,
        })
    }
}

fn internal_error() -> Problem {
    Problem::plain(Status::InternalServerError)
}

fn describe_security(scheme: &str, operation: &mut Operation<'_>) {
    operation.security(scheme);
    operation.problem("The credentials are missing or not valid.", &Problem::unauthorized());
    operation.problem("The credentials are valid, but do not allow this.", &Problem::forbidden());
}

fn info() -> Value {
    json!({
        "title": "rocket_batch",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Generates millions of unique product codes in the background.",
        "description": "A batch is accepted at once. Its items are created in the background, each exactly once, \
            job by job.\n\n\
            Errors are problem documents (RFC 9457). Lists are paged: pass `nextCursor` as `cursor` to get the next \
            page; it is null on the last one.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    })
}

/// Adds the limits that the settings define to the schemas.
fn insert_limits(schemas: &mut Map<String, Value>, config: &Config) {
    for (schema, property, keyword, value) in routes::limits_in_schemas(config) {
        let property =
            schemas.get_mut(schema).and_then(|schema| schema.pointer_mut(&format!("/properties/{property}")));
        if let Some(property) = property.and_then(Value::as_object_mut) {
            property.insert(keyword.to_owned(), value.into());
        }
    }
}
