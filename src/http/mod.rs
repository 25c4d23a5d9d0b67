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
//! from them, and docs.rs serves it. dashboard.rs serves the live page, which calls these routes.
//!
//! The method of a route determines the right that it needs, so every new route is guarded. These
//! modules parse requests and write responses; all decisions are in the service.

mod body;
#[cfg(feature = "dashboard")]
mod dashboard;
mod docs;
mod document;
mod event_stream;
mod field_error;
mod fields;
mod files;
mod guard;
mod headers;
mod json_response;
#[cfg(feature = "prometheus")]
mod metrics;
mod openapi;
mod origin;
mod problem;
mod refusal;
mod rights;
mod routes;
mod span;

use rocket::{Build, Catcher, Rocket, Route};

pub use self::document::MergeError;
pub(crate) use self::document::{document, merge};
#[cfg(feature = "prometheus")]
pub(crate) use self::rights::Metrics;
pub use self::rights::Right;
pub(crate) use self::rights::{Actor, Check, Rights, Security, SecurityScheme, by_closure, by_guard};

use self::{openapi::Endpoint, origin::AllowedOrigins};
use crate::config::Config;

/// Mounts all routes at the base, each behind the right it needs, and registers a catcher that
/// returns problems for all errors under the base.
///
/// A process with the role `worker` has the health probes and its metrics only. The caller manages
/// the [`BatchService`](crate::BatchService).
pub(crate) fn mount(rocket: Rocket<Build>, rights: Rights, config: &Config) -> Rocket<Build> {
    let mut routes: Vec<_> = routes::open().into_iter().map(Endpoint::open).collect();
    #[cfg(feature = "prometheus")]
    if let Some(of_process) = &rights.metrics {
        let guard = |endpoint: Endpoint| endpoint.guarded_by(of_process.check.clone());
        routes.extend(metrics::routes().into_iter().map(guard));
    }
    if config.role.serves_routes() {
        routes.extend(routes::guarded().into_iter().map(|endpoint| endpoint.guarded(&rights)));
        routes.extend(routes::unguarded().into_iter().map(Endpoint::open));
    }
    if config.role.serves_routes() && config.docs {
        routes.extend(docs::files(config, &rights.security()));
    }
    #[cfg(feature = "dashboard")]
    if config.role.serves_routes() && config.dashboard.enabled {
        routes.extend(dashboard::files(&config.dashboard));
    }
    let allowed_origins = AllowedOrigins::new(config);
    let routes: Vec<_> =
        routes.into_iter().map(|route| allowed_origins.protect(route)).map(rank_before_host_routes).collect();
    rocket.manage(rights).mount(&config.base, routes).register(&config.base, catchers())
}

/// Returns the catchers of the routes, for a base of your own. Every error there is then answered
/// with a problem document (RFC 9457, `application/problem+json`), as for the batches.
///
/// The document has `type`, `title`, `status` and, where the status says too little, `detail`. A
/// 401 has `WWW-Authenticate: Bearer`, and a 503 `Retry-After`. The message of a panic is hidden.
/// Catchers that you register for a status, or for a longer base, still take precedence.
///
/// ```
/// use rocket_batch::Batch;
///
/// let rocket = rocket::build().attach(Batch::fairing().public()).register("/", rocket_batch::catchers());
/// ```
#[must_use]
pub fn catchers() -> Vec<Catcher> {
    rocket::catchers![problem::catch]
}

/// Ranks `route` before all routes of the host. Rocket's default rank depends on the path below the
/// base only, so `/<id>` would collide with a host's `/<path..>`, and the launch would fail.
fn rank_before_host_routes(mut route: Route) -> Route {
    route.rank -= 20;
    route
}
