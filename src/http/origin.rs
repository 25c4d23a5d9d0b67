//! Refuses writing requests that a page of another origin made a browser send, before a guard is
//! asked.
//!
//! A browser adds a user's cookies to such a request by itself, so a guard that trusts cookies
//! would let it through. What browsers say about the page decides, most important first:
//!
//! ```text
//!   Origin is one of `allowed_origins` ──────────────────▶ passes
//!   Sec-Fetch-Site is same-origin or none ───────────────▶ passes
//!   Sec-Fetch-Site is anything else ─────────────────────▶ refused
//!   without it: Origin is where the request went to ─────▶ passes
//!   without it: any other Origin, including null ────────▶ refused
//!   neither header, so no browser sent it ───────────────▶ passes
//! ```
//!
//! Routes that only read are left alone: they change nothing, and without CORS headers a page of
//! another origin can't see their answers.

use std::sync::Arc;

use rocket::{
    Data, Request, Route,
    http::Method,
    outcome::Outcome,
    route::{self, Handler},
};

use super::{openapi::Operation, problem::Problem, rights::Right};
use crate::config::{Config, Origin};

const SEC_FETCH_SITE: &str = "Sec-Fetch-Site";
const ORIGIN: &str = "Origin";

/// The origins, besides the host's own, whose pages may send writing requests.
#[derive(Clone)]
pub(super) struct AllowedOrigins(Arc<[Origin]>);

impl AllowedOrigins {
    pub(super) fn of(config: &Config) -> Self {
        Self(config.allowed_origins().collect())
    }

    /// Puts the check before `route`, if that needs the right to write.
    pub(super) fn protect(&self, mut route: Route) -> Route {
        if is_protected(route.method) {
            route.handler = Box::new(Protected { allowed: self.clone(), inner: route.handler });
        }
        route
    }
}

fn is_protected(method: Method) -> bool {
    Right::of(method) == Right::Write
}

/// Adds the refusal to the description of a route of this method, if it is protected.
pub(super) fn describe(method: Method, operation: &mut Operation<'_>) {
    if is_protected(method) {
        let sender = Sender { site: Some("cross-site"), origin: Some("https://shop.example"), own: None };
        operation.problem("A page of another origin sent the request.", &sender.refusal(SEC_FETCH_SITE));
    }
}

#[derive(Clone)]
struct Protected {
    allowed: AllowedOrigins,
    inner: Box<dyn Handler>,
}

#[rocket::async_trait]
impl Handler for Protected {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        let sender = Sender::of(request);
        match sender.foreign_by(&self.allowed.0) {
            None => self.inner.handle(request, data).await,
            Some(header) => Outcome::Error(sender.refusal(header).leave(request)),
        }
    }
}

/// What a request says about the page that sent it.
struct Sender<'r> {
    site: Option<&'r str>,
    origin: Option<&'r str>,
    /// Where the request went to, as its `Host` says.
    own: Option<Origin>,
}

impl<'r> Sender<'r> {
    fn of(request: &'r Request<'_>) -> Self {
        let headers = request.headers();
        let scheme = if request.rocket().config().tls_enabled() { "https" } else { "http" };
        Self {
            site: headers.get_one(SEC_FETCH_SITE),
            origin: headers.get_one(ORIGIN),
            own: request.host().and_then(|host| Origin::parse(&format!("{scheme}://{host}"))),
        }
    }

    /// The header that gives the request away as one of a page of another origin; `None` if it may
    /// pass.
    fn foreign_by(&self, allowed: &[Origin]) -> Option<&'static str> {
        let origin = self.origin.and_then(Origin::parse);
        if origin.as_ref().is_some_and(|origin| allowed.contains(origin)) {
            return None;
        }
        match (self.site, self.origin) {
            (Some("same-origin" | "none"), _) | (None, None) => None,
            // Also a value that no browser sends today: whatever it means, it is not `same-origin`.
            (Some(_), _) => Some(SEC_FETCH_SITE),
            (None, Some(_)) => (origin.is_none() || origin != self.own).then_some(ORIGIN),
        }
    }

    /// The answer, which says what to set if the page is one of the host's.
    fn refusal(&self, header: &'static str) -> Problem {
        let advice = match self.origin.and_then(Origin::parse) {
            Some(origin) => format!("if the page is yours, add \"{origin}\" to the setting `batch.allowed_origins`"),
            None => "it names no origin that the setting `batch.allowed_origins` could allow".to_owned(),
        };
        let detail = format!("a page of another origin sent this request, as the header `{header}` says; {advice}");
        Problem::cross_site(detail).with("header", header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Option<&str> = Some(SEC_FETCH_SITE);
    const BY_ORIGIN: Option<&str> = Some(ORIGIN);

    #[test]
    fn only_pages_of_this_origin_and_of_the_allowed_ones_may_write() {
        let own = "http://shop.example:8000";
        let listed = "https://admin.example";
        let table = [
            // No browser.
            (None, None, None),
            // Where the browser says it, that counts, whatever the origin is.
            (Some("same-origin"), None, None),
            (Some("same-origin"), Some(own), None),
            (Some("same-origin"), Some("https://shop.example"), None),
            (Some("same-origin"), Some("null"), None),
            (Some("none"), None, None),
            (Some("none"), Some("https://other.example"), None),
            (Some("same-site"), None, SITE),
            (Some("same-site"), Some("http://other.shop.example:8000"), SITE),
            (Some("cross-site"), None, SITE),
            (Some("cross-site"), Some("https://other.example"), SITE),
            (Some("cross-site"), Some("null"), SITE),
            (Some("cross-site"), Some(own), SITE),
            (Some("something-new"), Some(own), SITE),
            (Some("Same-Origin"), Some(own), SITE),
            (Some(""), Some(own), SITE),
            // Where it does not, scheme, host and port have to be the same.
            (None, Some(own), None),
            (None, Some("HTTP://Shop.Example:8000"), None),
            (None, Some("https://shop.example:8000"), BY_ORIGIN),
            (None, Some("http://shop.example"), BY_ORIGIN),
            (None, Some("http://shop.example:8001"), BY_ORIGIN),
            (None, Some("http://shop.example.other.example:8000"), BY_ORIGIN),
            (None, Some("http://other.example"), BY_ORIGIN),
            (None, Some("null"), BY_ORIGIN),
            (None, Some(""), BY_ORIGIN),
            (None, Some("http://shop.example:8000/"), BY_ORIGIN),
            // What is listed passes in any case, and nothing that only looks like it.
            (Some("cross-site"), Some(listed), None),
            (Some("same-site"), Some(listed), None),
            (None, Some(listed), None),
            (None, Some("https://admin.example:443"), None),
            (None, Some("http://admin.example"), BY_ORIGIN),
            (Some("cross-site"), Some("https://admin.example.other.example"), SITE),
        ];
        let allowed = [Origin::parse(listed).unwrap()];

        for (site, origin, header) in table {
            let sender = Sender { site, origin, own: Origin::parse(own) };
            assert_eq!(sender.foreign_by(&allowed), header, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn a_request_that_does_not_say_where_it_went_to_is_from_no_page_of_ours() {
        let from = |origin| Sender { site: None, origin, own: None }.foreign_by(&[]);

        assert_eq!(from(Some("http://shop.example")), BY_ORIGIN);
        assert_eq!(from(Some("null")), BY_ORIGIN, "no origin is not the same as no host");
        assert_eq!(from(None), None);
    }
}
