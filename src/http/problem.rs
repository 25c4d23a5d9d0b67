//! How we say no: RFC 9457 problem documents, for our routes, for hosts that answer with a [`BatchError`], and for everything that
//! Rocket refuses under the base.
//!
//! A guard can only answer with a status, so it leaves the document in the request's local cache and the catcher finds it there.

use rocket::{
    Request, Response, catch,
    http::{ContentType, Header, Status},
    response::{self, Responder},
    serde::json::Json,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::NO_STORE;
use crate::{domain::Invalid, service::BatchError};

/// An error as a document. `type` names the situation for programs and never changes; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "code")]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

fn code<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.code)
}

impl Problem {
    /// Seconds until a caller may ask again when the database is away.
    const RETRY_AFTER: &'static str = "5";

    /// A problem that says no more than its status does.
    pub(crate) fn plain(status: Status) -> Self {
        let title = status.reason().unwrap_or("Error");
        Self { kind: "about:blank", title, status, detail: None, more: Map::new() }
    }

    /// The problem of a kind of our own.
    pub(crate) fn new(status: Status, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, title, status, detail: Some(detail.into()), more: Map::new() }
    }

    /// A path that names no batch, by number or otherwise.
    pub(crate) fn no_such_batch(id: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(Status::NotFound, "urn:rocket-batch:no-such-batch", "No such batch", detail).with("batchId", id)
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// Adds a member of our own.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves the problem for the catcher, and gives back the status that a guard answers with.
    pub(crate) fn leave(self, request: &Request<'_>) -> Status {
        let status = self.status;
        request.local_cache(|| Left(Some(self)));
        status
    }
}

/// What a guard left for the catcher.
struct Left(Option<Problem>);

/// Answers whatever Rocket or a guard refused under the base.
#[catch(default)]
pub(crate) fn catch(status: Status, request: &Request<'_>) -> Problem {
    let Left(left) = request.local_cache(|| Left(None));
    let left = left.as_ref().filter(|problem| problem.status == status);
    left.cloned().unwrap_or_else(|| of_status(status, request))
}

fn of_status(status: Status, request: &Request<'_>) -> Problem {
    let problem = Problem::plain(status);
    match status.code {
        401 => problem.detail("this needs credentials that are valid"),
        403 => problem.detail("these credentials do not allow this"),
        404 => problem.detail(format!("there is no {} {}", request.method(), request.uri().path())),
        _ => problem,
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        BatchError::from(invalid).into()
    }
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        let detail = error.to_string();
        let conflict = |kind, title, detail| Self::new(Status::Conflict, kind, title, detail);
        match error {
            BatchError::Invalid(Invalid { field, .. }) => {
                Self::new(Status::UnprocessableEntity, "urn:rocket-batch:invalid", "Invalid request", detail)
                    .with("field", field)
            }
            BatchError::NoSuchBatch(id) => Self::no_such_batch(id, detail),
            BatchError::NoSuchItem => {
                Self::new(Status::NotFound, "urn:rocket-batch:no-such-item", "No such item", detail)
            }
            BatchError::Taken(id) => {
                conflict("urn:rocket-batch:taken", "Batch id in use", detail).with("batchId", id.get())
            }
            BatchError::NotAllowed(refused) => {
                conflict("urn:rocket-batch:not-allowed", "Not allowed in this status", detail)
                    .with("batchStatus", refused.status.as_str())
            }
            BatchError::NothingToRetry(report) => {
                conflict("urn:rocket-batch:nothing-to-retry", "Nothing to retry", detail).with("report", json!(report))
            }
            BatchError::BadCursor => Self::new(Status::BadRequest, "urn:rocket-batch:bad-cursor", "Bad cursor", detail)
                .with("field", "cursor"),
            // What is inside of these two is for the log only, where the service wrote it.
            BatchError::Unavailable(_) => Self::plain(Status::ServiceUnavailable).detail(detail),
            BatchError::Internal(_) => Self::plain(Status::InternalServerError).detail(detail),
        }
    }
}

impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status;
        let mut response = Response::build_from(Json(self).respond_to(request)?);
        response
            .status(status)
            .header(ContentType::new("application", "problem+json"))
            .raw_header(NO_STORE.0, NO_STORE.1)
            .raw_header("X-Content-Type-Options", "nosniff");
        match status.code {
            401 => response.header(Header::new("WWW-Authenticate", "Bearer")).ok(),
            503 => response.header(Header::new("Retry-After", Self::RETRY_AFTER)).ok(),
            _ => response.ok(),
        }
    }
}

impl<'r> Responder<'r, 'static> for BatchError {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        Problem::from(self).respond_to(request)
    }
}

#[cfg(test)]
mod tests {
    use rocket::local::asynchronous::Client;

    use super::*;
    use crate::domain::{BatchId, BatchStatus, Change, ChangeRefused, RetryReport};

    fn errors() -> [(BatchError, u16, &'static str); 8] {
        let id = BatchId::new(7).unwrap();
        let refused = ChangeRefused { status: BatchStatus::Completed, change: Change::Pause };
        let report = RetryReport {
            batch_id: id,
            found: 0,
            recreated: 0,
            skipped: Vec::new(),
            job_ids: Vec::new(),
            status: BatchStatus::Running,
        };
        [
            (Invalid::new("quantity", "must be 1 to 5, but is 6").into(), 422, "`quantity` must be 1 to 5, but is 6"),
            (BatchError::NoSuchBatch(-1), 404, "there is no batch -1"),
            (BatchError::NoSuchItem, 404, "there is no item with this code"),
            (BatchError::Taken(id), 409, "batch 7 exists already"),
            (BatchError::NotAllowed(refused), 409, "a batch that is completed can't be paused"),
            (BatchError::NothingToRetry(Box::new(report)), 409, "batch 7 has no failed jobs to retry"),
            (BatchError::Unavailable("a secret".into()), 503, "the database does not answer; try again later"),
            (BatchError::Internal("a secret".into()), 500, "something went wrong here"),
        ]
    }

    #[rocket::async_test]
    async fn every_error_is_answered_with_its_status_and_nothing_of_its_inside() {
        let client = Client::untracked(rocket::build()).await.unwrap();
        let request = client.get("/");

        for (error, status, detail) in errors() {
            let mut response = error.respond_to(request.inner()).unwrap();
            let body = response.body_mut().to_string().await.unwrap();
            let problem: Value = serde_json::from_str(&body).unwrap();

            assert_eq!((response.status().code, &problem["status"]), (status, &json!(status)));
            assert_eq!(problem["detail"], detail);
            assert_eq!(response.headers().get_one("Content-Type"), Some("application/problem+json"));
            assert_eq!(response.headers().contains("Retry-After"), status == 503);
            assert!(!body.contains("secret"));
        }
    }
}
