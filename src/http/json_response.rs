//! What the routes answer when all went well. The status is part of the type, so that a description
//! made from a handler's signature can't say another one.

use rocket::{
    Request, Response,
    http::Status,
    response::{self, Responder},
    serde::json::Json,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::openapi::{Operation, Output};
use crate::service::Answered;

/// Everything here changes by itself; nobody may answer from a copy.
pub(super) const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");

fn json<T: Serialize>(status: Status, body: T, request: &Request<'_>) -> response::Result<'static> {
    let body = Json(body).respond_to(request)?;
    Response::build_from(body).status(status).raw_header(NO_STORE.0, NO_STORE.1).ok()
}

/// 200 with a JSON body.
pub(super) struct JsonResponse<T>(pub T);

impl<'r, T: Serialize> Responder<'r, 'static> for JsonResponse<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        json(Status::Ok, self.0, request)
    }
}

impl<T: JsonSchema> Output for JsonResponse<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.json_response::<T>(Status::Ok, "As it stands now.");
    }
}

/// 202 with a JSON body and a `Location`; `Idempotent-Replayed: true` when the same request was
/// answered before.
pub(super) struct Accepted<T> {
    /// Where to look from now on, below the base.
    pub at: String,
    pub body: T,
    pub answered: Answered,
}

impl<'r, T: Serialize> Responder<'r, 'static> for Accepted<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let base = request.route().map(|route| route.uri.base().to_string()).unwrap_or_default();
        let location = format!("{}/{}", base.trim_end_matches('/'), self.at);
        let mut response = Response::build_from(json(Status::Accepted, self.body, request)?);
        response.raw_header("Location", location);
        match self.answered {
            Answered::First => response.ok(),
            Answered::Again => response.raw_header("Idempotent-Replayed", "true").ok(),
        }
    }
}

impl<T: JsonSchema> Output for Accepted<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.json_response::<T>(Status::Accepted, "Accepted; the work is done in the background.");
        let path = json!({ "type": "string", "format": "uri-reference" });
        operation.response_header(Status::Accepted, "Location", "Where to look from now on.", path);
        let again = json!({ "const": "true" });
        let what = "The same request was answered before, and this is that answer.";
        operation.response_header_at_times(Status::Accepted, "Idempotent-Replayed", what, again);
    }
}

/// 200 or 503 with the same JSON body.
pub(super) struct Probe<T> {
    pub good: bool,
    pub body: T,
}

impl<'r, T: Serialize> Responder<'r, 'static> for Probe<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        json(if self.good { Status::Ok } else { Status::ServiceUnavailable }, self.body, request)
    }
}

impl<T: JsonSchema> Output for Probe<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.json_response::<T>(Status::Ok, "It can.");
        operation.json_response::<T>(Status::ServiceUnavailable, "It can't.");
    }
}
