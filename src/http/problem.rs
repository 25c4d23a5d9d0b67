//! Error responses as RFC 9457 problem documents: for the routes, for handlers of the host that
//! return a [`BatchError`], and for everything that Rocket refuses under the base.
//!
//! A guard can only return a status. It stores the document in the request's local cache, and the
//! catcher takes it from there.

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
    field_error::FieldError,
    headers::NO_STORE,
    openapi::{Operation, Output, ProblemExample, ProblemHeader},
};
use crate::{
    domain::{BatchStatus, IdempotencyKey, RepairReport, RetryReport},
    service::BatchError,
};

/// The `type` of a problem that the status alone describes.
const ABOUT_BLANK: &str = "about:blank";
const INVALID: &str = "urn:rocket-batch:invalid";
const NO_SUCH_BATCH: &str = "urn:rocket-batch:no-such-batch";
const BAD_KEY: &str = "urn:rocket-batch:bad-idempotency-key";
const KEY_REUSED: &str = "urn:rocket-batch:idempotency-key-reused";
const CROSS_SITE: &str = "urn:rocket-batch:cross-site";

/// An error as a document. `type` identifies the situation for programs and never changes; `detail`
/// describes it for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "serialize_code")]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn serialize_code<S: serde::Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.code)
}

impl Problem {
    /// How many seconds a caller should wait before it repeats a request that got a 429 or 503.
    const RETRY_AFTER: &'static str = "5";

    /// A problem that the status alone describes.
    pub(crate) fn plain(status: Status) -> Self {
        let title = status.reason().unwrap_or("Error");
        Self { kind: ABOUT_BLANK, title, status, detail: None, members: Map::new() }
    }

    fn new(status: Status, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self { kind, title, status, detail: Some(detail), members: Map::new() }
    }

    pub(super) fn unauthorized() -> Self {
        Self::plain(Status::Unauthorized).detail("this request needs valid credentials")
    }

    pub(super) fn forbidden() -> Self {
        Self::plain(Status::Forbidden).detail("these credentials do not allow this")
    }

    /// A request from a page of another origin.
    pub(super) fn cross_site(detail: String) -> Self {
        Self::new(Status::Forbidden, CROSS_SITE, "Cross-site request", detail)
    }

    /// A request whose content is wrong.
    pub(crate) fn invalid(detail: String) -> Self {
        Self::new(Status::UnprocessableEntity, INVALID, "Invalid request", detail)
    }

    /// A request with these wrong fields, at least one.
    pub(super) fn wrong_fields(errors: &[FieldError]) -> Self {
        let details: Vec<_> = errors.iter().map(|error| error.detail.as_str()).collect();
        let first = errors.first().map(|error| error.field.as_str());
        Self::invalid(details.join("; ")).with("field", first).with("errors", json!(errors))
    }

    /// A path whose `id` is not a possible batch id.
    pub(crate) fn no_such_batch(id: &str) -> Self {
        let detail = format!("there is no batch `{id}`");
        Self::new(Status::NotFound, NO_SUCH_BATCH, "No such batch", detail).with("batchId", id)
    }

    /// An `Idempotency-Key` that is not valid.
    pub(crate) fn bad_key(detail: String) -> Self {
        Self::new(Status::BadRequest, BAD_KEY, "Bad Idempotency-Key", detail).with("header", IdempotencyKey::HEADER)
    }

    /// Sets the detail.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// Adds an extension member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The header of every problem with this status.
    const fn header_of(status: Status) -> Option<ProblemHeader> {
        match status.code {
            401 => Some(ProblemHeader {
                name: "WWW-Authenticate",
                value: "Bearer",
                description: "The authentication scheme.",
                json_type: "string",
            }),
            429 | 503 => Some(ProblemHeader {
                name: "Retry-After",
                value: Self::RETRY_AFTER,
                description: "How many seconds to wait before the next try.",
                json_type: "integer",
            }),
            _ => None,
        }
    }

    /// Stores the problem for the catcher. Returns the status that the guard fails with.
    pub(crate) fn cache_for_catcher(self, request: &Request<'_>) -> Status {
        let status = self.status;
        request.local_cache(|| CachedProblem(Some(self)));
        status
    }
}

impl ProblemExample for Problem {
    fn status(&self) -> Status {
        self.status
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn header(&self) -> Option<ProblemHeader> {
        Self::header_of(self.status)
    }
}

/// The problem that a guard stored for the catcher.
struct CachedProblem(Option<Problem>);

/// Returns a problem for everything that Rocket or a guard refuses under the base.
#[catch(default)]
pub(crate) fn catch(status: Status, request: &Request<'_>) -> Problem {
    let CachedProblem(cached) = request.local_cache(|| CachedProblem(None));
    let cached = cached.as_ref().filter(|problem| problem.status == status);
    cached.cloned().unwrap_or_else(|| from_status(status, request))
}

fn from_status(status: Status, request: &Request<'_>) -> Problem {
    match status.code {
        401 => Problem::unauthorized(),
        403 => Problem::forbidden(),
        404 => Problem::plain(status).detail(format!("there is no {} {}", request.method(), request.uri().path())),
        _ => Problem::plain(status),
    }
}

/// One impl for every error of the service. rustc would list an impl for a single type, and so name
/// this private type, in a host whose own `?` is ambiguous.
impl<E: Into<BatchError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(error.into())
    }
}

impl Problem {
    fn of(error: BatchError) -> Self {
        let (status, kind, title) = classify(&error);
        let problem = Self::new(status, kind, title, error.to_string());
        match error {
            BatchError::Invalid(invalid) => Self::wrong_fields(&invalid.iter().map(FieldError::of).collect::<Vec<_>>()),
            BatchError::NoSuchBatch(id) => problem.with("batchId", id),
            BatchError::KeyReused(id) => problem.with("header", IdempotencyKey::HEADER).with("batchId", id.get()),
            BatchError::NotAllowed(refused) => problem.with("batchStatus", refused.status.as_str()),
            BatchError::IdInUse(id) | BatchError::HistoryRemoved(id) => problem.with("batchId", id.get()),
            BatchError::NothingToRetry(report) => problem.with("report", json!(report)),
            BatchError::NothingToRepair(report) => problem.with("repair", json!(report)),
            BatchError::NotFinished(progress) => problem.with("progress", json!(progress)),
            BatchError::HooksPending { batch_id, open } => {
                problem.with("batchId", batch_id.get()).with("openHooks", open)
            }
            BatchError::BadCursor => problem.with("field", "cursor"),
            // The service has logged the sources of these errors. Responses do not contain them.
            BatchError::NoSuchItem
            | BatchError::TooManyWatchers
            | BatchError::TooManyWatchersOfCaller
            | BatchError::HookFailed(_)
            | BatchError::WrongDatabaseKind(_)
            | BatchError::Busy
            | BatchError::Unavailable(_)
            | BatchError::Internal(_) => problem,
        }
    }
}

/// The status, the `type` and the title of an error.
const fn classify(error: &BatchError) -> (Status, &'static str, &'static str) {
    match error {
        BatchError::Invalid(_) => (Status::UnprocessableEntity, INVALID, "Invalid request"),
        BatchError::NoSuchBatch(_) => (Status::NotFound, NO_SUCH_BATCH, "No such batch"),
        BatchError::NoSuchItem => (Status::NotFound, "urn:rocket-batch:no-such-item", "No such item"),
        BatchError::IdInUse(_) => (Status::Conflict, "urn:rocket-batch:taken", "Batch id in use"),
        BatchError::KeyReused(_) => (Status::UnprocessableEntity, KEY_REUSED, "Idempotency-Key reused"),
        BatchError::NotAllowed(_) => (Status::Conflict, "urn:rocket-batch:not-allowed", "Not allowed in this status"),
        BatchError::HookFailed(_) => (Status::Conflict, "urn:rocket-batch:hook-failed", "Refused by a hook"),
        BatchError::NothingToRetry(_) => (Status::Conflict, "urn:rocket-batch:nothing-to-retry", "Nothing to retry"),
        BatchError::NothingToRepair(_) => (Status::Conflict, "urn:rocket-batch:nothing-to-repair", "Nothing to repair"),
        BatchError::HistoryRemoved(_) => (Status::Conflict, "urn:rocket-batch:history-removed", "History removed"),
        BatchError::NotFinished(_) => (Status::ServiceUnavailable, "urn:rocket-batch:not-finished", "Not finished yet"),
        BatchError::HooksPending { .. } => {
            (Status::ServiceUnavailable, "urn:rocket-batch:hooks-pending", "Hooks not called yet")
        }
        BatchError::BadCursor => (Status::BadRequest, "urn:rocket-batch:bad-cursor", "Bad cursor"),
        BatchError::TooManyWatchersOfCaller => {
            (Status::TooManyRequests, "urn:rocket-batch:too-many-streams", "Too many event streams")
        }
        BatchError::Busy | BatchError::TooManyWatchers | BatchError::Unavailable(_) => {
            (Status::ServiceUnavailable, ABOUT_BLANK, "Service Unavailable")
        }
        BatchError::WrongDatabaseKind(_) | BatchError::Internal(_) => {
            (Status::InternalServerError, ABOUT_BLANK, "Internal Server Error")
        }
    }
}

/// Rocket's Shield sets `X-Content-Type-Options`, and logs a warning if it is already set.
impl<'r> Responder<'r, 'static> for Problem {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status;
        let mut response = Response::build_from(Json(self).respond_to(request)?);
        response
            .status(status)
            .header(ContentType::new("application", "problem+json"))
            .raw_header(NO_STORE.0, NO_STORE.1);
        if let Some(ProblemHeader { name, value, .. }) = Self::header_of(status) {
            response.header(Header::new(name, value));
        }
        response.ok()
    }
}

/// Every route with problems reads the ledger, so its database may be unavailable.
impl Output for Problem {
    fn describe(operation: &mut Operation<'_>) {
        let unavailable = Self::from(BatchError::Unavailable("".into()));
        let reason = "The database does not respond, or too many requests read at once. A change that was requested \
            may or may not have taken effect.";
        operation.problem(reason, &unavailable);
    }
}

/// The schema of a [`Problem`], whose own fields do not list the extension members.
#[derive(JsonSchema)]
#[schemars(
    rename = "Problem",
    rename_all = "camelCase",
    description = "The reason why a request was refused (RFC 9457)."
)]
#[expect(dead_code, reason = "only described")]
struct ProblemSchema {
    /// Identifies the situation for programs and never changes; `about:blank` if the status alone
    /// describes it.
    #[schemars(regex(pattern = "^(about:blank|urn:rocket-batch:[a-z-]+)$"))]
    r#type: String,
    /// The situation in a few words.
    title: String,
    /// The HTTP status of the response.
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong and what is allowed, for people.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The field of the body or of the query that is wrong; with several, the first one.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Every wrong field.
    #[schemars(with = "Vec<FieldError>", length(min = 1, max = 20), skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FieldError>>,
    /// The header that is wrong, or that caused the refusal.
    #[schemars(with = "String", skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// The id of the batch; a string if the path did not contain a number.
    #[schemars(with = "IdOrText", skip_serializing_if = "Option::is_none")]
    batch_id: Option<IdOrText>,
    /// The status of the batch, which does not allow the change.
    #[schemars(with = "BatchStatus", skip_serializing_if = "Option::is_none")]
    batch_status: Option<BatchStatus>,
    /// The report of the retry.
    #[schemars(with = "RetryReport", skip_serializing_if = "Option::is_none")]
    report: Option<RetryReport>,
    /// The report of the repair.
    #[schemars(with = "RepairReport", skip_serializing_if = "Option::is_none")]
    repair: Option<RepairReport>,
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
        ProblemSchema::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        ProblemSchema::json_schema(generator)
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
    use crate::domain::{BatchId, Change, ChangeRefused, Invalid};

    fn errors() -> [(BatchError, u16, &'static str); 13] {
        let id = BatchId::new(7).unwrap();
        let refused = ChangeRefused { status: BatchStatus::Completed, change: Change::Pause };
        let report = RetryReport::empty(id, BatchStatus::Running);
        [
            (Invalid::new("quantity", "must be 1 to 5, but is 6").into(), 422, "`quantity` must be 1 to 5, but is 6"),
            (BatchError::NoSuchBatch(-1), 404, "there is no batch -1"),
            (BatchError::NoSuchItem, 404, "there is no item with this code"),
            (BatchError::IdInUse(id), 409, "batch 7 already exists"),
            (
                BatchError::KeyReused(id),
                422,
                "the `Idempotency-Key` was used by another request, which created batch 7",
            ),
            (BatchError::NotAllowed(refused), 409, "a batch that is completed can't be paused"),
            (BatchError::HookFailed("paid already".into()), 409, "the finish hook of this app refused: paid already"),
            (
                BatchError::NothingToRetry(Box::new(report)),
                409,
                "batch 7 has no failed jobs to retry, or none that the request selects",
            ),
            (
                BatchError::HistoryRemoved(id),
                409,
                "the history of batch 7 was removed: its jobs can't be listed or retried any more",
            ),
            (BatchError::BadCursor, 400, "`cursor` is not a cursor of this list"),
            (BatchError::Busy, 503, "too many requests read at once; try again in a moment"),
            (BatchError::Unavailable("a secret".into()), 503, "the database does not respond; try again later"),
            (BatchError::Internal("a secret".into()), 500, "internal error"),
        ]
    }

    #[rocket::async_test]
    async fn every_error_has_its_status_and_hides_its_source() {
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
