//! Successful responses. Each type has a fixed status, which its description in the OpenAPI
//! document shares.

use rocket::{
    Request, Response,
    http::Status,
    response::{self, Responder},
    serde::json::Json,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{
    headers::NO_STORE,
    openapi::{Operation, Output},
};
use crate::service::Answered;

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
        operation.json_response::<T>(Status::Ok, "The current state.");
    }
}

/// 202 with a JSON body and a `Location`, and with `Idempotent-Replayed: true` if this is the
/// stored response to an earlier request with the same `Idempotency-Key`.
pub(super) struct Accepted<T> {
    /// The path of the new resource below the base.
    pub path: String,
    pub body: T,
    pub answered: Answered,
}

impl<'r, T: Serialize> Responder<'r, 'static> for Accepted<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let base = request.route().map(|route| route.uri.base().to_string()).unwrap_or_default();
        let location = format!("{}/{}", base.trim_end_matches('/'), self.path);
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
        operation.json_response::<T>(Status::Accepted, "Accepted; the items are created in the background.");
        let path = json!({ "type": "string", "format": "uri-reference" });
        operation.response_header(Status::Accepted, "Location", "The path of the batch.", path);
        let replayed = json!({ "const": "true" });
        let description =
            "Present if this is the stored response to an earlier request with the same `Idempotency-Key`.";
        operation.optional_response_header(Status::Accepted, "Idempotent-Replayed", description, replayed);
    }
}

/// 200 with a finished report, or 202 with one that a background task works on.
pub(super) struct Report<T> {
    pub is_finished: bool,
    pub body: T,
}

impl<'r, T: Serialize> Responder<'r, 'static> for Report<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        json(if self.is_finished { Status::Ok } else { Status::Accepted }, self.body, request)
    }
}

impl<T: JsonSchema> Output for Report<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.json_response::<T>(Status::Ok, "The finished report.");
        operation.json_response::<T>(Status::Accepted, "A background task works on it; request it again later.");
    }
}

/// 200 or 503 with the same JSON body.
pub(super) struct Probe<T> {
    pub is_ready: bool,
    pub body: T,
}

impl<'r, T: Serialize> Responder<'r, 'static> for Probe<T> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        json(if self.is_ready { Status::Ok } else { Status::ServiceUnavailable }, self.body, request)
    }
}

impl<T: JsonSchema> Output for Probe<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.json_response::<T>(Status::Ok, "The process can handle requests.");
        operation.json_response::<T>(Status::ServiceUnavailable, "The process can't handle requests now.");
    }
}
