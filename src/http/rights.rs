//! Who may call a route: the host's own guards, called before the request is read.
//!
//! The guard types of the host are erased here: a guard becomes a [`Check`]. Guarding a route
//! replaces its handler, so the route keeps the name, rank and sentinels that Rocket gave it.

use std::sync::Arc;

use rocket::{
    Data, Request, Route,
    futures::future::BoxFuture,
    http::{Method, Status},
    outcome::Outcome,
    request::FromRequest,
    route::{self, Handler},
};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::span::{record_status, request_span};

/// What a request is about to do, for [`BatchFairing::authorize`](crate::BatchFairing::authorize).
//
// Exhaustive, so that a host's check decides about every right: a third one must not reach a branch
// that was written for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read batches, items and progress.
    Read,
    /// Create, retry, cancel, pause or resume a batch.
    Write,
}

impl Right {
    /// The right that a route with this method needs. Every method that may change something needs
    /// the right to write.
    pub(super) const fn of(method: Method) -> Self {
        match method {
            Method::Get | Method::Head | Method::Options => Self::Read,
            _ => Self::Write,
        }
    }
}

/// The check that a request must pass.
#[derive(Clone)]
pub(crate) enum Check {
    /// Every request passes.
    Open,
    /// The host's guard or closure decides.
    Host(HostCheck),
}

/// Accepts a request, or returns the status that it is refused with.
type HostCheck = Arc<dyn for<'a> Fn(&'a Request<'_>) -> BoxFuture<'a, Result<(), Status>> + Send + Sync>;

impl Check {
    async fn run(&self, request: &Request<'_>) -> Result<(), Status> {
        match self {
            Self::Open => Ok(()),
            Self::Host(check) => check(request).await,
        }
    }

    /// Puts `route` behind this check.
    pub(super) fn guard(self, mut route: Route) -> Route {
        route.handler = Box::new(Guarded { check: self, inner: route.handler });
        route
    }

    pub(crate) const fn is_guarded(&self) -> bool {
        matches!(self, Self::Host(_))
    }
}

/// Accepts the requests for which the guard `G` succeeds. If the guard forwards, the request is
/// refused with the status of the forward.
pub(crate) fn by_guard<G>() -> Check
where
    G: for<'r> FromRequest<'r> + Send + 'static,
{
    erase(|request| {
        Box::pin(async move {
            // Neither `G` nor `G::Error` is kept across an await, so they need not be `Sync`, and
            // the error need not be `Send`.
            match request.guard::<G>().await {
                Outcome::Success(_) => Ok(()),
                Outcome::Error((status, _)) | Outcome::Forward(status) => Err(status),
            }
        })
    })
}

/// Accepts the requests for which the host's `closure` grants `right`.
pub(crate) fn by_closure<F>(closure: Arc<F>, right: Right) -> Check
where
    F: for<'a> Fn(&'a Request<'_>, Right) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
{
    erase(move |request| closure(request, right))
}

/// Makes the compiler infer that `check` accepts every lifetime, which it does not do for a closure
/// alone.
fn erase<F>(check: F) -> Check
where
    F: for<'a> Fn(&'a Request<'_>) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
{
    Check::Host(Arc::new(check))
}

/// Returns the caller of a request, for data that is kept per caller and for the audit.
pub(crate) type Actor = Arc<dyn Fn(&Request<'_>) -> Option<String> + Send + Sync>;

/// The host's checks, and how it identifies callers.
#[derive(Clone)]
pub(crate) struct Rights {
    pub read: Check,
    pub write: Check,
    /// How callers authenticate, for the OpenAPI document.
    pub scheme: SecurityScheme,
    /// Without it, all callers count as one.
    pub actor: Option<Actor>,
    /// The metrics to serve, if the host has no recorder of its own.
    #[cfg(feature = "prometheus")]
    pub metrics: Option<Metrics>,
}

impl Rights {
    /// Adds the check for the right that the method of `route` needs.
    pub(crate) fn guard(&self, route: Route) -> Route {
        let check = match Right::of(route.method) {
            Right::Read => self.read.clone(),
            Right::Write => self.write.clone(),
        };
        check.guard(route)
    }

    /// The caller of `request`, if the host identifies callers.
    pub(crate) fn actor(&self, request: &Request<'_>) -> Option<String> {
        self.actor.as_ref().and_then(|name| name(request))
    }

    /// Whether the caller has the right to read, for open routes that show more to such callers.
    pub(crate) async fn may_read(&self, request: &Request<'_>) -> bool {
        self.read.run(request).await.is_ok()
    }

    /// Whether the caller has the right to write, for open routes that say so.
    pub(crate) async fn may_write(&self, request: &Request<'_>) -> bool {
        self.write.run(request).await.is_ok()
    }

    /// The security section of the OpenAPI document.
    pub(crate) fn security(&self) -> Security {
        let security = Security::new(self.read.is_guarded(), self.write.is_guarded(), self.scheme.clone());
        #[cfg(feature = "prometheus")]
        let security = security.with_metrics(self.metrics.as_ref().map(|metrics| metrics.check.is_guarded()));
        security
    }
}

/// The metrics of this process as text, and who may read them.
#[cfg(feature = "prometheus")]
#[derive(Clone)]
pub(crate) struct Metrics {
    pub check: Check,
    pub render: Arc<dyn Fn() -> String + Send + Sync>,
}

/// An OpenAPI security scheme and its name. It documents how callers authenticate and does not
/// affect the guards.
#[derive(Debug, Clone)]
pub(crate) struct SecurityScheme {
    pub name: String,
    pub scheme: Value,
}

impl Default for SecurityScheme {
    fn default() -> Self {
        Self { name: "bearer".into(), scheme: json!({ "type": "http", "scheme": "bearer" }) }
    }
}

/// Which rights are guarded, and how callers authenticate.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    read: bool,
    write: bool,
    /// Whether the metrics are guarded; `None` if they are not served.
    #[cfg(feature = "prometheus")]
    metrics: Option<bool>,
    scheme: SecurityScheme,
}

impl Default for Security {
    fn default() -> Self {
        Self::new(true, true, SecurityScheme::default())
    }
}

impl Security {
    /// Whether reading and writing are guarded, and how callers authenticate. Metrics need the
    /// right to read.
    pub(crate) const fn new(read: bool, write: bool, scheme: SecurityScheme) -> Self {
        Self {
            read,
            write,
            #[cfg(feature = "prometheus")]
            metrics: Some(read),
            scheme,
        }
    }

    /// Whether the metrics are guarded; `None` if they are not served.
    #[cfg(feature = "prometheus")]
    pub(crate) fn with_metrics(self, metrics: Option<bool>) -> Self {
        Self { metrics, ..self }
    }

    /// Whether the metrics are served and, if so, the name of the scheme that they require.
    #[cfg(feature = "prometheus")]
    #[expect(clippy::option_option, reason = "not served, served to all, or behind a scheme")]
    pub(super) fn of_metrics(&self) -> Option<Option<&str>> {
        self.metrics.map(|guarded| guarded.then_some(self.scheme.name.as_str()))
    }

    #[cfg(feature = "prometheus")]
    fn has_guarded_metrics(&self) -> bool {
        self.metrics == Some(true)
    }

    #[cfg(not(feature = "prometheus"))]
    #[expect(clippy::unused_self, reason = "with the feature `prometheus` it is used")]
    const fn has_guarded_metrics(&self) -> bool {
        false
    }

    /// The name of the scheme that a route with this method requires, if it is guarded.
    pub(super) fn scheme_for(&self, method: Method) -> Option<&str> {
        let guarded = match Right::of(method) {
            Right::Read => self.read,
            Right::Write => self.write,
        };
        guarded.then_some(&self.scheme.name)
    }

    /// The schemes that the document defines.
    pub(super) fn schemes(&self) -> Option<Value> {
        (self.read || self.write || self.has_guarded_metrics())
            .then(|| json!({ &self.scheme.name: self.scheme.scheme }))
    }
}

#[derive(Clone)]
struct Guarded {
    check: Check,
    inner: Box<dyn Handler>,
}

#[rocket::async_trait]
impl Handler for Guarded {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        let handled = async {
            match self.check.run(request).await {
                Ok(()) => self.inner.handle(request, data).await,
                Err(status) => Outcome::Error(refusal(status)),
            }
        };
        let span = request_span(request);
        let outcome = handled.instrument(span.clone()).await;
        record_status(&span, &outcome);
        outcome
    }
}

/// The status of a refusal. A refusal is always an error and never a forward, because a catch-all
/// route of the host could handle a forwarded request.
const fn refusal(status: Status) -> Status {
    if status.code >= 400 { status } else { Status::Forbidden }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_always_an_error_status() {
        let table = [(401, 401), (404, 404), (503, 503), (200, 403), (303, 403)];

        for (returned, sent) in table {
            assert_eq!(refusal(Status::new(returned)).code, sent);
        }
    }
}
