//! The service under HTTP: routes, who may call them, and how they say no.
//!
//! ```text
//!   request ──▶ origin.rs ──▶ rights.rs ──▶ routes.rs ──▶ BatchService
//!                  │              │              │
//!                  └── refused    └── refused    └── BatchError, a bad body (body.rs)
//!                         └───────────────┬──────────────┘
//!                                         ▼
//!                         problem.rs: application/problem+json
//! ```
//!
//! What the routes take and answer is told by their signatures, and written into a document by
//! openapi.rs; docs.rs serves it.
//!
//! Which request needs which right follows from its method, so a new route can't forget to ask.
//! What a request means is decided by the service; here it is only read, and the answer written.

mod body;
mod docs;
mod guard;
mod json_response;
pub(crate) mod openapi;
mod origin;
mod problem;
mod refusal;
mod rights;
mod routes;

use rocket::{Build, Rocket, Route, catchers};

pub use rights::Right;
pub(crate) use rights::{Actor, Check, Rights, Security, SecurityScheme, by_closure, by_guard};

use self::{openapi::Endpoint, origin::AllowedOrigins};
use crate::config::Config;

/// Mounts all routes at the base, each behind the right it needs, and answers every error under the
/// base with a problem.
///
/// A process that only works has the health probes and nothing else. The caller manages the
/// [`BatchService`](crate::BatchService).
pub(crate) fn mount(rocket: Rocket<Build>, rights: Rights, config: &Config) -> Rocket<Build> {
    let mut routes: Vec<_> = routes::open().into_iter().map(Endpoint::open).collect();
    if config.role.serves() {
        routes.extend(routes::guarded().into_iter().map(|endpoint| endpoint.guarded(&rights)));
    }
    if config.role.serves() && config.docs {
        routes.extend(docs::files(config, &rights.security()));
    }
    let allowed_origins = AllowedOrigins::of(config);
    let routes: Vec<_> = routes.into_iter().map(|route| allowed_origins.protect(route)).map(before_the_hosts).collect();
    rocket.manage(rights).mount(&config.base, routes).register(&config.base, catchers![problem::catch])
}

/// Ranks `route` before all that a host may have. Rocket ranks by the path below the base, so that
/// `/<id>` would collide with a host's `/<path..>`, and the launch fail.
fn before_the_hosts(mut route: Route) -> Route {
    route.rank -= 20;
    route
}
