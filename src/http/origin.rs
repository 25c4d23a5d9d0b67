//! Refuses write requests that a browser sends from a page of another origin. Runs before the
//! guards.
//!
//! A browser adds the user's cookies to such a request, so a guard that trusts cookies would accept
//! it. The headers that browsers send decide, in this order:
//!
//! ```text
//!   Origin is one of `allowed_origins` ──────────────────▶ accepted
//!   Sec-Fetch-Site is same-origin or none ───────────────▶ accepted
//!   Sec-Fetch-Site is anything else ─────────────────────▶ refused
//!   no Sec-Fetch-Site, Origin is the request's own host ─▶ accepted
//!   no Sec-Fetch-Site, any other Origin, also null ──────▶ refused
//!   neither header, so no browser sent it ───────────────▶ accepted
//! ```
//!
//! Routes that only read are not checked: they change nothing, and without CORS headers a page of
//! another origin can't see their responses.

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

/// The origins, besides the host's own, whose pages may send write requests.
#[derive(Clone)]
pub(super) struct AllowedOrigins(Arc<[Origin]>);

impl AllowedOrigins {
    pub(super) fn new(config: &Config) -> Self {
        Self(config.allowed_origins().collect())
    }

    /// Adds the check to `route`, if it needs the right to write.
    pub(super) fn protect(&self, mut route: Route) -> Route {
        if needs_check(route.method) {
            route.handler = Box::new(Protected { allowed: self.clone(), inner: route.handler });
        }
        route
    }
}

fn needs_check(method: Method) -> bool {
    Right::of(method) == Right::Write
}

/// Describes the refusal in the operation of a route with this method, if it is checked.
pub(super) fn describe(method: Method, operation: &mut Operation<'_>) {
    if needs_check(method) {
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
        match sender.refused_by(&self.allowed.0) {
            None => self.inner.handle(request, data).await,
            Some(header) => Outcome::Error(sender.refusal(header).cache_for_catcher(request)),
        }
    }
}

/// The headers that identify the page that sent a request.
struct Sender<'r> {
    site: Option<&'r str>,
    origin: Option<&'r str>,
    /// The origin that the request was sent to, from its `Host`.
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

    /// The header that shows that a page of another origin sent the request; `None` if the request
    /// is accepted.
    fn refused_by(&self, allowed: &[Origin]) -> Option<&'static str> {
        let origin = self.origin.and_then(Origin::parse);
        if origin.as_ref().is_some_and(|origin| allowed.contains(origin)) {
            return None;
        }
        match (self.site, self.origin) {
            (Some("same-origin" | "none"), _) | (None, None) => None,
            // Includes values that no browser sends today: they are not `same-origin`.
            (Some(_), _) => Some(SEC_FETCH_SITE),
            (None, Some(_)) => (origin.is_none() || origin != self.own).then_some(ORIGIN),
        }
    }

    /// The response. It names the setting that allows the page.
    fn refusal(&self, header: &'static str) -> Problem {
        let advice = match self.origin.and_then(Origin::parse) {
            Some(origin) => format!("if the page is yours, add \"{origin}\" to the setting `batch.allowed_origins`"),
            None => "its `Origin` can't be added to the setting `batch.allowed_origins`".to_owned(),
        };
        let detail = format!("the header `{header}` shows that a page of another origin sent this request; {advice}");
        Problem::cross_site(detail).with("header", header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: Option<&str> = Some(SEC_FETCH_SITE);
    const BY_ORIGIN: Option<&str> = Some(ORIGIN);

    #[test]
    fn only_pages_of_this_and_of_allowed_origins_may_write() {
        let own = "http://shop.example:8000";
        let listed = "https://admin.example";
        let table = [
            // Not sent by a browser.
            (None, None, None),
            // Sec-Fetch-Site takes precedence over any origin that is not listed.
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
            // Without Sec-Fetch-Site, scheme, host and port must match.
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
            // Exactly the listed origins are always accepted.
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
            assert_eq!(sender.refused_by(&allowed), header, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn without_a_host_header_every_origin_is_refused() {
        let from = |origin| Sender { site: None, origin, own: None }.refused_by(&[]);

        assert_eq!(from(Some("http://shop.example")), BY_ORIGIN);
        assert_eq!(from(Some("null")), BY_ORIGIN, "an origin `null` does not match a missing host");
        assert_eq!(from(None), None);
    }
}
