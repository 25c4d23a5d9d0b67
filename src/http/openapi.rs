//! The OpenAPI document, made from what is mounted.
//!
//! ```text
//!   /// Shows a batch.                                   prose        ──┐
//!   #[get("/<id>")]                                      path, method ──┤
//!   async fn get_batch(.., id: PathId)                   Input        ──┼──▶ one operation
//!       -> Result<Answer<BatchRecord>>                   Output       ──┤
//!   host's guards, settings                              Security, Config ──┘
//! ```
//!
//! A handler is written within [`endpoint!`], which makes its route [`Documented`]. What is mounted
//! is an [`Endpoint`], and an `Endpoint` can be had of a `Documented` route only; so a route that
//! the document does not know does not compile, and neither does one without prose. Which statuses
//! a route answers is told by the types in its signature: whatever reads a part of a request also
//! says how that part may be refused.
//!
//! Not in here: what Rocket answers by itself, `HEAD` and a slash behind a path; and the files of
//! [`docs`](super::docs).

mod examples;
mod operation;

use rocket::{
    Route,
    http::{Method, Status},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

pub(super) use self::operation::{Input, Operation, Output};
use super::{
    origin,
    problem::Problem,
    rights::{Rights, Security},
    routes,
};
use crate::config::Config;

/// A route that says what it is for, what it takes and what it answers.
pub(super) trait Documented {
    fn describe(operation: &mut Operation<'_>);
}

/// Writes a handler down once, for Rocket and for the document.
///
/// Rocket gets the tokens as they stand, since what a macro has read it emits in a way that
/// Rocket's own macros do not recognise; only a copy of them is read here. The `///` are asked for.
macro_rules! endpoint {
    (@read $(#[doc = $prose:literal])+ #[get $route:tt] $($handler:tt)+) => {
        $crate::http::openapi::endpoint!(@describe [$($prose),+] $($handler)+);
    };
    (@read $(#[doc = $prose:literal])+ #[post $route:tt] $($handler:tt)+) => {
        $crate::http::openapi::endpoint!(@describe [$($prose),+] $($handler)+);
    };
    (@describe [$($prose:literal),+]
        async fn $name:ident($($argument:ident: $input:ty),* $(,)?) -> $output:ty $body:block
    ) => {
        impl $crate::http::openapi::Documented for $name {
            fn describe(operation: &mut $crate::http::openapi::Operation<'_>) {
                operation.prose(stringify!($name), &[$($prose),+]);
                $(<$input as $crate::http::openapi::Input>::describe(stringify!($argument), operation);)*
                <$output as $crate::http::openapi::Output>::describe(operation);
            }
        }
    };
    ($($handler:tt)+) => {
        $($handler)+
        $crate::http::openapi::endpoint!(@read $($handler)+);
    };
}
pub(super) use endpoint;

/// `routes!` for documented routes: `endpoints![Tag::Batches: get_batch, list_batches]`.
macro_rules! endpoints {
    ($tag:expr => $($name:ident),+ $(,)?) => {
        vec![$($crate::http::openapi::Endpoint::of::<$name>($tag, rocket::routes![$name])),+]
    };
}
pub(super) use endpoints;

/// What a route belongs to, for readers of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Batches,
    Items,
    Health,
}

impl Tag {
    const ALL: [Self; 3] = [Self::Batches, Self::Items, Self::Health];

    const fn name(self) -> &'static str {
        match self {
            Self::Batches => "batches",
            Self::Items => "items",
            Self::Health => "health",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Batches => "Requests for items: to make them, to look at them, to steer them.",
            Self::Items => "What the batches have made.",
            Self::Health => "Probes, open without credentials.",
        }
    }
}

/// A route with its description: the only thing that is mounted.
pub(super) struct Endpoint {
    route: Route,
    tag: Tag,
    describe: fn(&mut Operation<'_>),
}

impl Endpoint {
    pub(super) fn of<R: Documented>(tag: Tag, mut routes: Vec<Route>) -> Self {
        let route = routes.pop().expect("`routes!` makes one route of one name");
        Self { route, tag, describe: R::describe }
    }

    pub(super) fn ranked(mut self, rank: isize) -> Self {
        self.route.rank = rank;
        self
    }

    pub(super) fn open(self) -> Route {
        self.route
    }

    pub(super) fn guarded(self, rights: &Rights) -> Route {
        rights.guard(self.route)
    }

    /// Where the route is when it is mounted at `base`, with the parameters in braces.
    fn path(&self, base: &str) -> String {
        let path = self.route.uri.path().replace('<', "{").replace('>', "}");
        format!("{base}{}", path.trim_end_matches('/'))
    }
}

/// The document of a process with these settings, whose callers are asked for what `security` says.
pub(crate) fn document(config: &Config, security: &Security) -> Value {
    let mut document = Document::new(&config.base);
    if config.role.serves() {
        for endpoint in routes::guarded() {
            document.add(&endpoint, security.of(endpoint.route.method));
        }
    }
    for endpoint in routes::open() {
        document.add(&endpoint, None);
    }
    document.finish(config, security)
}

/// A document in the making.
struct Document<'a> {
    base: &'a str,
    /// Two generators, since a type may be written otherwise than it is read: what has a default
    /// need not be there in a request, but is there in every answer.
    input: SchemaGenerator,
    output: SchemaGenerator,
    paths: Map<String, Value>,
}

impl<'a> Document<'a> {
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

    /// Describes `endpoint`, for callers who have to show what the security scheme of this name
    /// wants.
    fn add(&mut self, endpoint: &Endpoint, scheme: Option<&str>) {
        let mut operation = Operation::new(&mut self.input, &mut self.output);
        operation.belongs_to(endpoint.tag.name());
        (endpoint.describe)(&mut operation);
        origin::describe(endpoint.route.method, &mut operation);
        operation.problem("A defect here; the log says more.", &Problem::plain(Status::InternalServerError));
        if let Some(scheme) = scheme {
            operation.asks_for(scheme);
        }
        let path = &mut self.paths.entry(endpoint.path(self.base)).or_insert_with(|| json!({}));
        path[method(endpoint.route.method)] = operation.finish();
    }

    fn finish(mut self, config: &Config, security: &Security) -> Value {
        let mut schemas = self.input.take_definitions(true);
        schemas.extend(self.output.take_definitions(true));
        put_in_limits(&mut schemas, config);
        examples::put_into(&mut schemas);
        let mut components = json!({ "schemas": schemas });
        if let Some(schemes) = security.schemes() {
            components["securitySchemes"] = schemes;
        }
        json!({
            "openapi": "3.1.0",
            "info": info(),
            "tags": Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.what() })),
            "paths": self.paths,
            "components": components,
        })
    }
}

fn method(method: Method) -> String {
    method.as_str().to_ascii_lowercase()
}

fn info() -> Value {
    json!({
        "title": "rocket_batch",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Serialised product items by the thousand, made in the background.",
        "description": "A batch is accepted at once; its items are made in the background, exactly once, job by job.\n\n\
            Errors are problem documents (RFC 9457). Lists come in pages; `nextCursor` asks for the next one and is null at the end.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    })
}

/// Writes what the host has set into the schemas: the types know only what holds for every host.
fn put_in_limits(schemas: &mut Map<String, Value>, config: &Config) {
    for (schema, property, keyword, value) in routes::settings_in_schemas(config) {
        if let Some(schema) = schemas.get_mut(schema) {
            schema["properties"][property][keyword] = value.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use rocket::get;

    use super::*;

    #[get("/bare")]
    #[expect(dead_code, reason = "that it can't be mounted is the point")]
    async fn bare() {}

    endpoint! {
        /// Says nothing.
        #[get("/silent")]
        async fn with_prose() -> Nothing {
            Nothing
        }
    }

    #[derive(rocket::Responder)]
    #[response(status = 204)]
    struct Silence(());

    type Nothing = Silence;

    #[expect(non_upper_case_globals, reason = "reads as the function it stands for")]
    const Nothing: Silence = Silence(());

    impl Output for Silence {
        fn describe(_: &mut Operation<'_>) {}
    }

    /// `Documents::<R>::IT` is the inherent one if `R` is documented, and else the trait's.
    struct Documents<R>(PhantomData<R>);

    trait Otherwise {
        const IT: bool = false;
    }

    impl<R> Otherwise for Documents<R> {}

    impl<R: Documented> Documents<R> {
        const IT: bool = true;
    }

    /// `Endpoint::of::<bare>(..)` would not compile, and nothing but an `Endpoint` is mounted.
    #[test]
    fn only_what_is_written_within_endpoint_can_be_mounted() {
        const { assert!(!Documents::<bare>::IT) };
        const { assert!(Documents::<with_prose>::IT) };
        assert_eq!(endpoints![Tag::Health => with_prose][0].path("/batches"), "/batches/silent");
    }
}
