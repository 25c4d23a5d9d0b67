//! Who may call a route: the host's own guards, asked before anything of a request is read.
//!
//! The types of the host end here: a guard becomes a [`Check`], and a route is wrapped by replacing
//! its handler, so that its name, rank and sentinels stay what Rocket made them.

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

/// What a request wants to do, for [`BatchFairing::authorize`](crate::BatchFairing::authorize).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Look at batches, items and progress.
    Read,
    /// Create, retry, cancel, pause or resume a batch.
    Write,
}

impl Right {
    /// The right that a route of this method needs. What is not known to be harmless needs the
    /// right to write.
    pub(super) const fn of(method: Method) -> Self {
        match method {
            Method::Get | Method::Head | Method::Options => Self::Read,
            _ => Self::Write,
        }
    }
}

/// Whether a request is let through.
#[derive(Clone)]
pub(crate) enum Check {
    /// Every request is.
    Open,
    /// The host is asked.
    Asks(Ask),
}

/// Lets a request through, or says with which status it is refused.
type Ask = Arc<dyn for<'a> Fn(&'a Request<'_>) -> BoxFuture<'a, Result<(), Status>> + Send + Sync>;

impl Check {
    async fn ask(&self, request: &Request<'_>) -> Result<(), Status> {
        match self {
            Self::Open => Ok(()),
            Self::Asks(ask) => ask(request).await,
        }
    }

    const fn asks(&self) -> bool {
        matches!(self, Self::Asks(_))
    }
}

/// Lets through whom the guard `G` lets through. A guard that forwards refuses with the status it
/// forwards.
pub(crate) fn by_guard<G>() -> Check
where
    G: for<'r> FromRequest<'r> + Send + 'static,
{
    erase(|request| {
        Box::pin(async move {
            // Neither `G` nor `G::Error` lives across an await: they need not be `Sync`, the error
            // not even `Send`.
            match request.guard::<G>().await {
                Outcome::Success(_) => Ok(()),
                Outcome::Error((status, _)) | Outcome::Forward(status) => Err(status),
            }
        })
    })
}

/// Lets through whom the host's `closure` lets through when it is asked for `right`.
pub(crate) fn by_closure<F>(closure: Arc<F>, right: Right) -> Check
where
    F: for<'a> Fn(&'a Request<'_>, Right) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
{
    erase(move |request| closure(request, right))
}

/// Tells the compiler that `check` is good for every lifetime, which it does not see of a bare
/// closure.
fn erase<F>(check: F) -> Check
where
    F: for<'a> Fn(&'a Request<'_>) -> BoxFuture<'a, Result<(), Status>> + Send + Sync + 'static,
{
    Check::Asks(Arc::new(check))
}

/// Names who calls, for what is kept per caller.
pub(crate) type Actor = Arc<dyn Fn(&Request<'_>) -> Option<String> + Send + Sync>;

/// What the host said about who may call, and who that is.
#[derive(Clone)]
pub(crate) struct Rights {
    pub read: Check,
    pub write: Check,
    /// How callers show who they are.
    pub scheme: SecurityScheme,
    /// Without it, callers are not told apart.
    pub actor: Option<Actor>,
}

impl Rights {
    /// Puts the right that its method needs before `route`.
    pub(crate) fn guard(&self, mut route: Route) -> Route {
        let check = match Right::of(route.method) {
            Right::Read => self.read.clone(),
            Right::Write => self.write.clone(),
        };
        route.handler = Box::new(Guarded { check, inner: route.handler });
        route
    }

    /// Who calls, in the host's words.
    pub(crate) fn actor(&self, request: &Request<'_>) -> Option<String> {
        self.actor.as_ref().and_then(|name| name(request))
    }

    /// Whether the caller may read, for what is open to all but tells some more.
    pub(crate) async fn may_read(&self, request: &Request<'_>) -> bool {
        self.read.ask(request).await.is_ok()
    }

    /// The same for readers of the OpenAPI document.
    pub(crate) fn security(&self) -> Security {
        Security { read: self.read.asks(), write: self.write.asks(), scheme: self.scheme.clone() }
    }
}

/// How callers show who they are: a security scheme of OpenAPI under its name. The guards do what
/// they do, whatever it says.
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

/// Which rights are guarded, and how callers show that they have them.
#[derive(Debug, Clone)]
pub(crate) struct Security {
    read: bool,
    write: bool,
    scheme: SecurityScheme,
}

impl Default for Security {
    fn default() -> Self {
        Self { read: true, write: true, scheme: SecurityScheme::default() }
    }
}

impl Security {
    /// The name of the scheme that a route of this method asks for, when it asks.
    pub(super) fn of(&self, method: Method) -> Option<&str> {
        let guarded = match Right::of(method) {
            Right::Read => self.read,
            Right::Write => self.write,
        };
        guarded.then_some(&self.scheme.name)
    }

    /// The schemes that the document has to explain.
    pub(super) fn schemes(&self) -> Option<Value> {
        (self.read || self.write).then(|| json!({ &self.scheme.name: self.scheme.scheme }))
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
        match self.check.ask(request).await {
            Ok(()) => self.inner.handle(request, data).await,
            Err(status) => Outcome::Error(refusal(status)),
        }
    }
}

/// A refusal is an error and never forwarded: else a catch-all route of the host would answer in
/// our place.
const fn refusal(status: Status) -> Status {
    if status.code >= 400 { status } else { Status::Forbidden }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_always_looks_like_one() {
        let table = [(401, 401), (404, 404), (503, 503), (200, 403), (303, 403)];

        for (said, answered) in table {
            assert_eq!(refusal(Status::new(said)).code, answered);
        }
    }
}
