//! Reads a JSON body, and says of a bad one what is wrong with it and what would be right.

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

/// The JSON body of a request, at most as long as the host's limit named `batch`, or 64 KiB.
pub(super) struct JsonBody<T>(pub T);

/// How long a body may take to arrive, so that a caller who stops half-way does not hold a
/// connection for ever. It counts from when Rocket hands the body over: the first 14 bytes, in
/// which it looks for a form's `_method`, it awaits itself and without a deadline.
const DEADLINE: Duration = Duration::from_secs(10);

#[rocket::async_trait]
impl<'r, T: DeserializeOwned> FromData<'r> for JsonBody<T> {
    type Error = ();

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> rocket::data::Outcome<'r, Self> {
        match read(request, data).await.and_then(|bytes| parse(&bytes)) {
            Ok(body) => Outcome::Success(Self(body)),
            Err(problem) => Outcome::Error((problem.leave(request), ())),
        }
    }
}

impl<T: JsonSchema> Input for JsonBody<T> {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        operation.body::<T>();
        operation.problem("The body is no JSON, or broke off.", &broken_off());
        operation.problem("The body did not arrive in time.", &late());
        operation.problem("The body is longer than the host allows.", &too_long(USUAL_LIMIT));
        operation.problem("The body is not sent as JSON.", &wrong_type());
        let wrong = Problem::invalid("`quantity` must be 1 to 10000000, but is 0".into()).with("field", "quantity");
        operation.problem("The body is JSON of another shape, or a value in it is out of its limits.", &wrong);
    }
}

/// The most of a body, unless the host says otherwise.
const USUAL_LIMIT: ByteUnit = ByteUnit::Kibibyte(64);

async fn read(request: &Request<'_>, data: Data<'_>) -> Result<Vec<u8>, Problem> {
    if !request.content_type().is_some_and(|content| content.is_json()) {
        return Err(wrong_type());
    }
    let limit = request.limits().get("batch").unwrap_or(USUAL_LIMIT);
    let body = tokio::time::timeout(DEADLINE, data.open(limit).into_bytes()).await;
    within(limit, body.map_err(|_| late())?.map_err(|_| broken_off())?)
}

fn within(limit: ByteUnit, body: Capped<Vec<u8>>) -> Result<Vec<u8>, Problem> {
    if body.is_complete() {
        return Ok(body.into_inner());
    }
    Err(too_long(limit))
}

fn too_long(limit: ByteUnit) -> Problem {
    Problem::plain(Status::PayloadTooLarge).detail(format!("a body may have at most {limit}"))
}

fn wrong_type() -> Problem {
    Problem::plain(Status::UnsupportedMediaType)
        .detail("the body must be JSON, sent with `Content-Type: application/json`")
}

fn late() -> Problem {
    let seconds = DEADLINE.as_secs();
    Problem::plain(Status::RequestTimeout).detail(format!("the body did not arrive within {seconds} seconds"))
}

fn broken_off() -> Problem {
    Problem::plain(Status::BadRequest).detail("the body broke off")
}

/// Reads `T`, or tells a text that is no JSON (400) from JSON of another shape (422).
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        unreadable(Some(path).filter(|path| path != "."), &error.into_inner())
    })?;
    json.end().map_err(|error| unreadable(None, &error))?;
    Ok(value)
}

fn unreadable(path: Option<String>, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::plain(Status::BadRequest).detail(format!("the body is not JSON: {error}"))
        }
        Category::Data => wrong_shape(path, error),
    }
}

fn wrong_shape(path: Option<String>, error: &serde_json::Error) -> Problem {
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
    fn a_bad_body_is_told_by_where_it_is_bad() {
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
