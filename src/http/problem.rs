//! How we say no: RFC 9457 problem documents, for our routes, for hosts that answer with a
//! [`BatchError`], and for everything that Rocket refuses under the base.
//!
//! A guard can only answer with a status, so it leaves the document in the request's local cache
//! and the catcher finds it there.

use rocket::{
    Request, Response, catch,
    http::{ContentType, Header, Status},
    response::{self, Responder},
    serde::json::Json,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    json_response::NO_STORE,
    openapi::{Operation, Output},
};
use crate::{
    domain::{BatchStatus, IdempotencyKey, Invalid, RetryReport},
    service::BatchError,
};

/// The `type` of a problem that its status says all about.
const NO_KIND: &str = "about:blank";
const INVALID: &str = "urn:rocket-batch:invalid";
const NO_SUCH_BATCH: &str = "urn:rocket-batch:no-such-batch";
const BAD_KEY: &str = "urn:rocket-batch:bad-idempotency-key";
const KEY_REUSED: &str = "urn:rocket-batch:idempotency-key-reused";
const CROSS_SITE: &str = "urn:rocket-batch:cross-site";

/// An error as a document. `type` names the situation for programs and never changes; `detail` is
/// for people.
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
        Self { kind: NO_KIND, title, status, detail: None, more: Map::new() }
    }

    fn new(status: Status, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self { kind, title, status, detail: Some(detail), more: Map::new() }
    }

    pub(super) fn unauthorized() -> Self {
        Self::plain(Status::Unauthorized).detail("this needs credentials that are valid")
    }

    pub(super) fn forbidden() -> Self {
        Self::plain(Status::Forbidden).detail("these credentials do not allow this")
    }

    /// A request that a page of another origin sent.
    pub(super) fn cross_site(detail: String) -> Self {
        Self::new(Status::Forbidden, CROSS_SITE, "Cross-site request", detail)
    }

    /// A request whose content is wrong.
    pub(crate) fn invalid(detail: String) -> Self {
        Self::new(Status::UnprocessableEntity, INVALID, "Invalid request", detail)
    }

    /// A path that names no batch, since no batch can have such an id.
    pub(crate) fn no_such_batch(id: &str) -> Self {
        let detail = format!("there is no batch `{id}`");
        Self::new(Status::NotFound, NO_SUCH_BATCH, "No such batch", detail).with("batchId", id)
    }

    /// An `Idempotency-Key` that is none.
    pub(crate) fn bad_key(detail: String) -> Self {
        Self::new(Status::BadRequest, BAD_KEY, "Bad Idempotency-Key", detail).with("header", IdempotencyKey::HEADER)
    }

    /// Says more about it.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// Adds a member of our own.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(super) const fn status(&self) -> Status {
        self.status
    }

    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    /// The header that comes with every problem of this status.
    pub(super) const fn header(status: Status) -> Option<ProblemHeader> {
        match status.code {
            401 => Some(ProblemHeader {
                name: "WWW-Authenticate",
                value: "Bearer",
                what: "How to show who you are.",
                kind: "string",
            }),
            503 => Some(ProblemHeader {
                name: "Retry-After",
                value: Self::RETRY_AFTER,
                what: "Seconds until it is worth trying again.",
                kind: "integer",
            }),
            _ => None,
        }
    }

    /// Leaves the problem for the catcher, and gives back the status that a guard answers with.
    pub(crate) fn leave(self, request: &Request<'_>) -> Status {
        let status = self.status;
        request.local_cache(|| Left(Some(self)));
        status
    }
}

/// A header that comes with a problem, and what readers of the document are told about it.
pub(super) struct ProblemHeader {
    pub name: &'static str,
    value: &'static str,
    pub what: &'static str,
    /// The type of its value in JSON's words.
    pub kind: &'static str,
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
    match status.code {
        401 => Problem::unauthorized(),
        403 => Problem::forbidden(),
        404 => Problem::plain(status).detail(format!("there is no {} {}", request.method(), request.uri().path())),
        _ => Problem::plain(status),
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        BatchError::from(invalid).into()
    }
}

impl From<BatchError> for Problem {
    fn from(error: BatchError) -> Self {
        let (status, kind, title) = name(&error);
        let problem = Self::new(status, kind, title, error.to_string());
        match error {
            BatchError::Invalid(invalid) => problem.with("field", invalid.field),
            BatchError::NoSuchBatch(id) => problem.with("batchId", id),
            BatchError::Taken(id) => problem.with("batchId", id.get()),
            BatchError::KeyReused(id) => problem.with("header", IdempotencyKey::HEADER).with("batchId", id.get()),
            BatchError::NotAllowed(refused) => problem.with("batchStatus", refused.status.as_str()),
            BatchError::HistoryRemoved(id) => problem.with("batchId", id.get()),
            BatchError::NothingToRetry(report) => problem.with("report", json!(report)),
            BatchError::NotOver(progress) => problem.with("progress", json!(progress)),
            BatchError::BadCursor => problem.with("field", "cursor"),
            // What is inside of the last two is for the log only, where the service wrote it.
            BatchError::NoSuchItem
            | BatchError::OtherDatabase(_)
            | BatchError::Busy
            | BatchError::Unavailable(_)
            | BatchError::Internal(_) => problem,
        }
    }
}

/// The status, the `type` and the title of an error.
const fn name(error: &BatchError) -> (Status, &'static str, &'static str) {
    match error {
        BatchError::Invalid(_) => (Status::UnprocessableEntity, INVALID, "Invalid request"),
        BatchError::NoSuchBatch(_) => (Status::NotFound, NO_SUCH_BATCH, "No such batch"),
        BatchError::NoSuchItem => (Status::NotFound, "urn:rocket-batch:no-such-item", "No such item"),
        BatchError::Taken(_) => (Status::Conflict, "urn:rocket-batch:taken", "Batch id in use"),
        BatchError::KeyReused(_) => (Status::UnprocessableEntity, KEY_REUSED, "Idempotency-Key reused"),
        BatchError::NotAllowed(_) => (Status::Conflict, "urn:rocket-batch:not-allowed", "Not allowed in this status"),
        BatchError::NothingToRetry(_) => (Status::Conflict, "urn:rocket-batch:nothing-to-retry", "Nothing to retry"),
        BatchError::HistoryRemoved(_) => (Status::Conflict, "urn:rocket-batch:history-removed", "History removed"),
        BatchError::NotOver(_) => (Status::ServiceUnavailable, "urn:rocket-batch:not-over", "Not over yet"),
        BatchError::BadCursor => (Status::BadRequest, "urn:rocket-batch:bad-cursor", "Bad cursor"),
        BatchError::OtherDatabase(_) => (Status::InternalServerError, NO_KIND, "Internal Server Error"),
        BatchError::Busy | BatchError::Unavailable(_) => (Status::ServiceUnavailable, NO_KIND, "Service Unavailable"),
        BatchError::Internal(_) => (Status::InternalServerError, NO_KIND, "Internal Server Error"),
    }
}

/// `X-Content-Type-Options` comes from Rocket's Shield, which warns in the log when it is there
/// already.
impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status;
        let mut response = Response::build_from(Json(self).respond_to(request)?);
        response
            .status(status)
            .header(ContentType::new("application", "problem+json"))
            .raw_header(NO_STORE.0, NO_STORE.1);
        if let Some(ProblemHeader { name, value, .. }) = Self::header(status) {
            response.header(Header::new(name, value));
        }
        response.ok()
    }
}

/// Whatever answers a problem asked the ledger, and the ledger may be away.
impl Output for Problem {
    fn describe(operation: &mut Operation<'_>) {
        let away = BatchError::Unavailable("".into());
        operation
            .problem("The database does not answer. Whether a change took effect, asking again tells.", &away.into());
    }
}

/// The shape of a [`Problem`], whose own type keeps its members apart in another way.
#[derive(JsonSchema)]
#[schemars(rename = "Problem", rename_all = "camelCase", description = "Why a request was refused (RFC 9457).")]
#[expect(dead_code, reason = "only described")]
struct Shape {
    /// Names the situation for programs, and never changes: `about:blank` when the status says it
    /// all.
    #[schemars(regex(pattern = "^(about:blank|urn:rocket-batch:[a-z-]+)$"))]
    r#type: String,
    /// The situation in a few words.
    title: String,
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong, and what would be right, for people.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The field of the body or of the query that is wrong.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The header that is wrong, or that decided.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// The batch that it is about; a text when the path named no number.
    #[schemars(with = "IdOrText", skip_serializing_if = "Option::is_none")]
    batch_id: Option<IdOrText>,
    /// The status that forbids it.
    #[schemars(with = "BatchStatus", skip_serializing_if = "Option::is_none")]
    batch_status: Option<BatchStatus>,
    /// What the retry found.
    #[schemars(with = "RetryReport", skip_serializing_if = "Option::is_none")]
    report: Option<RetryReport>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
#[expect(dead_code, reason = "only described")]
enum IdOrText {
    Id(i64),
    Text(String),
}

impl JsonSchema for Problem {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Shape::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shape::json_schema(generator)
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
    use crate::domain::{BatchId, Change, ChangeRefused};

    fn errors() -> [(BatchError, u16, &'static str); 12] {
        let id = BatchId::new(7).unwrap();
        let refused = ChangeRefused { status: BatchStatus::Completed, change: Change::Pause };
        let report = RetryReport::of_none(id, BatchStatus::Running);
        [
            (Invalid::new("quantity", "must be 1 to 5, but is 6").into(), 422, "`quantity` must be 1 to 5, but is 6"),
            (BatchError::NoSuchBatch(-1), 404, "there is no batch -1"),
            (BatchError::NoSuchItem, 404, "there is no item with this code"),
            (BatchError::Taken(id), 409, "batch 7 exists already"),
            (
                BatchError::KeyReused(id),
                422,
                "the `Idempotency-Key` was used by another request, which created batch 7",
            ),
            (BatchError::NotAllowed(refused), 409, "a batch that is completed can't be paused"),
            (BatchError::NothingToRetry(Box::new(report)), 409, "batch 7 has no failed jobs to retry"),
            (
                BatchError::HistoryRemoved(id),
                409,
                "the history of batch 7 was removed: its failed jobs can't be listed or retried any more",
            ),
            (BatchError::BadCursor, 400, "`cursor` is not a cursor of this list"),
            (BatchError::Busy, 503, "too many requests read at once; try again in a moment"),
            (BatchError::Unavailable("a secret".into()), 503, "the database does not answer; try again later"),
            (BatchError::Internal("a secret".into()), 500, "internal error"),
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
