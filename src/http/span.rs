//! The spans of requests, and where a request stands in a distributed trace.

use rocket::{Request, outcome::Outcome, route};
use tracing::Span;

use crate::{domain::TraceParent, service::BatchService, trace::record_error};

/// Where the request stands in a distributed trace. Several headers are as good as none.
pub(super) fn position(request: &Request<'_>) -> Option<TraceParent> {
    let mut headers = request.headers().get("traceparent");
    let position = headers.next()?.parse().ok()?;
    headers.next().is_none().then_some(position)
}

/// The span of a request, if the host wants spans.
pub(super) fn request_span(request: &Request<'_>) -> Span {
    let (Some(service), Some(route)) = (BatchService::fetch(request.rocket()), request.route()) else {
        return Span::none();
    };
    service.traces().request(request.method().as_str(), &route.uri.to_string(), position(request).as_ref())
}

/// Records how a request ended.
pub(super) fn record_status(span: &Span, outcome: &route::Outcome<'_>) {
    let status = match outcome {
        Outcome::Success(response) => response.status(),
        Outcome::Error(status) | Outcome::Forward((_, status)) => *status,
    };
    span.record("http.response.status_code", status.code);
    if status.code >= 500 {
        record_error(span, &status.code.to_string());
    }
}
