//! Serves the metrics of this process, if the host has no recorder of its own.

use rocket::{
    Request, Response, get,
    http::{ContentType, Status},
    outcome::Outcome,
    request::{self, FromRequest},
    response::{self, Responder},
};

use super::{
    headers::NO_STORE,
    openapi::{Endpoint, Input, Operation, Output, Tag, endpoint, endpoints},
    rights::Rights,
};

/// The route of the metrics.
pub(super) fn routes() -> Vec<Endpoint> {
    endpoints![Tag::Health => get_metrics]
}

endpoint! {
    /// Shows the metrics of the process, in the text format of Prometheus.
    ///
    /// Every process has its own. Sum counters and histograms over the processes; of gauges about
    /// the whole ledger take the maximum.
    #[get("/metrics")]
    fn get_metrics(text: MetricsText) -> MetricsText {
        text
    }
}

/// The metrics as text.
pub(super) struct MetricsText(String);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for MetricsText {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        let metrics = request.rocket().state::<Rights>().and_then(|rights| rights.metrics.as_ref());
        match metrics {
            Some(metrics) => Outcome::Success(Self((metrics.render)())),
            None => Outcome::Error((Status::InternalServerError, ())),
        }
    }
}

impl Input for MetricsText {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}

impl<'r> Responder<'r, 'static> for MetricsText {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let kind = ContentType::new("text", "plain").with_params([("version", "0.0.4"), ("charset", "utf-8")]);
        Response::build_from(self.0.respond_to(request)?).header(kind).raw_header(NO_STORE.0, NO_STORE.1).ok()
    }
}

impl Output for MetricsText {
    fn describe(operation: &mut Operation<'_>) {
        operation.text_response("text/plain; version=0.0.4; charset=utf-8", "The metrics.");
    }
}
