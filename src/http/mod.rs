//! The HTTP routes of the service, their access rights and their error responses.
//!
//! ```text
//!   request ──▶ origin.rs ──▶ rights.rs ──▶ routes ──▶ BatchService
//!                  │              │              │
//!                  └── refused    └── refused    └── BatchError, a bad body (body.rs)
//!                         └───────────────┬──────────────┘
//!                                         ▼
//!                         problem.rs: application/problem+json
//! ```
//!
//! The routes describe themselves with the types in openapi. `document` builds the OpenAPI document
//! from them, and docs.rs serves it.
//!
//! The method of a route determines the right that it needs, so every new route is guarded. These
//! modules parse requests and write responses; all decisions are in the service.

mod body;
mod docs;
mod document;
mod guard;
mod headers;
mod json_response;
mod openapi;
mod origin;
mod problem;
mod refusal;
mod rights;
mod routes;

use rocket::{Build, Rocket, Route, catchers};

pub(crate) use self::document::document;
pub use self::rights::Right;
pub(crate) use self::rights::{Actor, Check, Rights, Security, SecurityScheme, by_closure, by_guard};

use self::{openapi::Endpoint, origin::AllowedOrigins};
use crate::config::Config;

/// Mounts all routes at the base, each behind the right it needs, and registers a catcher that
/// returns problems for all errors under the base.
///
/// A process with the role `worker` has the health probes only. The caller manages the
/// [`BatchService`](crate::BatchService).
pub(crate) fn mount(rocket: Rocket<Build>, rights: Rights, config: &Config) -> Rocket<Build> {
    let mut routes: Vec<_> = routes::open().into_iter().map(Endpoint::open).collect();
    if config.role.serves_routes() {
        routes.extend(routes::guarded().into_iter().map(|endpoint| endpoint.guarded(&rights)));
    }
    if config.role.serves_routes() && config.docs {
        routes.extend(docs::files(config, &rights.security()));
    }
    let allowed_origins = AllowedOrigins::new(config);
    let routes: Vec<_> =
        routes.into_iter().map(|route| allowed_origins.protect(route)).map(rank_before_host_routes).collect();
    rocket.manage(rights).mount(&config.base, routes).register(&config.base, catchers![problem::catch])
}

/// Ranks `route` before all routes of the host. Rocket's default rank depends on the path below the
/// base only, so `/<id>` would collide with a host's `/<path..>`, and the launch would fail.
fn rank_before_host_routes(mut route: Route) -> Route {
    route.rank -= 20;
    route
}
