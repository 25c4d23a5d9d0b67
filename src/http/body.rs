//! Reads JSON bodies. The error for a bad body names the part that is wrong and what is allowed.

use std::time::Duration;

use rocket::{
    Request,
    data::{ByteUnit, Capped, Data, FromData},
    http::Status,
    outcome::Outcome,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{
    openapi::{Input, Operation},
    problem::Problem,
};

/// The JSON body of a request. Its maximum size is the host's limit named `batch`, or 64 KiB.
pub(super) struct JsonBody<T>(pub T);

/// The same for a route that needs no body: without one, the default of `T`.
pub(super) struct OptionalJsonBody<T>(pub T);

/// How long a body may take to arrive, so that a caller that stops half-way does not keep a
/// connection open for ever. The timeout starts after the first 14 bytes. Rocket reads those
/// itself, without a timeout, to find a form's `_method`.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

#[rocket::async_trait]
impl<'r, T: DeserializeOwned> FromData<'r> for JsonBody<T> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> rocket::data::Outcome<'r, Self> {
        outcome(request, parsed(request, data).await.map(Self))
    }
}

#[rocket::async_trait]
impl<'r, T: DeserializeOwned + Default> FromData<'r> for OptionalJsonBody<T> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, mut data: Data<'r>) -> rocket::data::Outcome<'r, Self> {
        if data.peek(1).await.is_empty() {
            return Outcome::Success(Self(T::default()));
        }
        outcome(request, parsed(request, data).await.map(Self))
    }
}

async fn parsed<T: DeserializeOwned>(request: &Request<'_>, data: Data<'_>) -> Result<T, Problem> {
    read(request, data).await.and_then(|bytes| parse(&bytes))
}

fn outcome<'r, T>(request: &'r Request<'_>, body: Result<T, Problem>) -> rocket::data::Outcome<'r, T, ()> {
    match body {
        Ok(body) => Outcome::Success(body),
        Err(problem) => Outcome::Error((problem.cache_for_catcher(request), ())),
    }
}

impl<T: JsonSchema> Input for JsonBody<T> {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.body::<T>(true);
        describe_problems(operation, "quantity", "must be 1 to 10000000, but is 0");
    }
}

impl<T: JsonSchema> Input for OptionalJsonBody<T> {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.body::<T>(false);
        describe_problems(operation, "limit", "must be 1 to 100000, but is 0");
    }
}

fn describe_problems(operation: &mut Operation<'_>, field: &str, rule: &str) {
    operation.problem("The body is not JSON, or is incomplete.", &incomplete());
    operation.problem("The body did not arrive in time.", &timed_out());
    operation.problem("The body is longer than allowed.", &too_long(DEFAULT_LIMIT));
    operation.problem("The `Content-Type` of the body is not JSON.", &wrong_type());
    let invalid = Problem::invalid(format!("`{field}` {rule}")).with("field", field);
    operation.problem("The body has a missing, unknown or invalid field.", &invalid);
}

/// The maximum size of a body, if the host does not set one.
const DEFAULT_LIMIT: ByteUnit = ByteUnit::Kibibyte(64);

async fn read(request: &Request<'_>, data: Data<'_>) -> Result<Vec<u8>, Problem> {
    if !request.content_type().is_some_and(|content| content.is_json()) {
        return Err(wrong_type());
    }
    let limit = request.limits().get("batch").unwrap_or(DEFAULT_LIMIT);
    let body = tokio::time::timeout(READ_TIMEOUT, data.open(limit).into_bytes()).await;
    complete(limit, body.map_err(|_| timed_out())?.map_err(|_| incomplete())?)
}

/// The whole body, if it is not longer than `limit`.
fn complete(limit: ByteUnit, body: Capped<Vec<u8>>) -> Result<Vec<u8>, Problem> {
    if body.is_complete() {
        return Ok(body.into_inner());
    }
    Err(too_long(limit))
}

fn too_long(limit: ByteUnit) -> Problem {
    Problem::plain(Status::PayloadTooLarge).detail(format!("the body is longer than {limit}"))
}

fn wrong_type() -> Problem {
    Problem::plain(Status::UnsupportedMediaType)
        .detail("the body must be JSON, sent with `Content-Type: application/json`")
}

fn timed_out() -> Problem {
    let seconds = READ_TIMEOUT.as_secs();
    Problem::plain(Status::RequestTimeout).detail(format!("the body did not arrive within {seconds} seconds"))
}

fn incomplete() -> Problem {
    Problem::plain(Status::BadRequest).detail("the body is incomplete")
}

/// Parses `T`. A text that is not JSON is refused with 400, and JSON that is not a `T` with 422.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        parse_problem(Some(path).filter(|path| path != "."), &error.into_inner())
    })?;
    json.end().map_err(|error| parse_problem(None, &error))?;
    Ok(value)
}

fn parse_problem(path: Option<String>, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::plain(Status::BadRequest).detail(format!("the body is not JSON: {error}"))
        }
        Category::Data => data_problem(path, error),
    }
}

fn data_problem(path: Option<String>, error: &serde_json::Error) -> Problem {
    match path {
        Some(path) => Problem::invalid(format!("`{path}`: {error}")).with("field", path),
        None => Problem::invalid(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Order {
        pieces: u8,
        to: Option<String>,
    }

    #[test]
    fn the_problem_names_the_wrong_field() {
        let table = [
            ("", 400, "EOF", None),
            ("{\"pieces\":1", 400, "EOF", None),
            ("{\"pieces\":1} {}", 400, "trailing characters", None),
            ("\u{0}", 400, "expected value", None),
            ("[]", 422, "expected struct Order", None),
            ("{}", 422, "missing field `pieces`", None),
            ("{\"pieces\":\"1\"}", 422, "`pieces`: invalid type: string", Some("pieces")),
            ("{\"pieces\":1,\"to\":{}}", 422, "`to`: invalid type: map", Some("to")),
            ("{\"pieces\":1,\"colour\":1}", 422, "`colour`: unknown field `colour`", Some("colour")),
        ];

        for (body, status, words, field) in table {
            let problem = serde_json::to_value(parse::<Order>(body.as_bytes()).unwrap_err()).unwrap();
            assert_eq!(problem["status"], status, "{body}");
            assert!(problem["detail"].as_str().unwrap().contains(words), "{body}: {problem}");
            assert_eq!(problem.get("field").and_then(|field| field.as_str()), field, "{body}");
        }
    }
}
