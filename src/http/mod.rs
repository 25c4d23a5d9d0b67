//! The service under HTTP: routes, who may call them, and how they say no.
//!
//! ```text
//!   request ──▶ rights.rs ──▶ routes.rs ──▶ BatchService
//!                  │              │
//!                  └── refused    └── BatchError, a bad body (body.rs)
//!                          └──────┬───────┘
//!                                 ▼
//!                     problem.rs: application/problem+json
//! ```
//!
//! Which request needs which right follows from its method, so a new route can't forget to ask. What a request means is decided by
//! the service; here it is only read, and the answer written.

mod answer;
mod body;
mod guard;
mod problem;
mod rights;
mod routes;

use rocket::{Build, Rocket, Route, catchers};

pub use rights::Right;
pub(crate) use rights::{Actor, Check, Rights, by_closure, by_guard, open};

use crate::config::{Config, Role};

/// Mounts all routes at the base, each behind the right it needs, and answers every error under the base with a problem.
///
/// A process that only works has the health probes and nothing else. The caller manages the [`BatchService`](crate::BatchService).
pub(crate) fn mount(rocket: Rocket<Build>, rights: Rights, config: &Config) -> Rocket<Build> {
    let guarded = match config.role {
        Role::All | Role::Web => routes::guarded(),
        Role::Worker => Vec::new(),
    };
    let guarded = guarded.into_iter().map(|route| rights.guard(route));
    let routes: Vec<_> = guarded.chain(routes::open()).map(before_the_hosts).collect();
    rocket.manage(rights).mount(&config.base, routes).register(&config.base, catchers![problem::catch])
}

/// Ranks `route` before all that a host may have. Rocket ranks by the path below the base, so that `/<id>` would collide with a
/// host's `/<path..>`, and the launch fail.
fn before_the_hosts(mut route: Route) -> Route {
    route.rank -= 20;
    route
}
