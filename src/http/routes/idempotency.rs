//! The header `Idempotency-Key`: a repeated request takes effect once.

use rocket::{
    Request,
    http::HeaderMap,
    outcome::Outcome,
    request::{self, FromRequest},
};
use serde::Serialize;

use crate::{
    domain::{CreateRequest, IdempotencyKey},
    http::{
        openapi::{Input, Operation},
        problem::Problem,
        refusal::example_id,
        rights::Rights,
    },
    service::BatchError,
};

/// The key of a request and its caller, if the request has a key.
pub(super) struct Idempotency(Option<CallerKey>);

struct CallerKey {
    key: IdempotencyKey,
    /// The caller, from the host's `.actor(..)`.
    actor: Option<String>,
}

impl Idempotency {
    /// The request for `body`, as the ledger stores it. Bodies are equal if their values are:
    /// neither their formatting nor the defaults in the settings make a difference.
    #[expect(clippy::expect_used, reason = "a body that was read from JSON can be written as JSON")]
    pub(super) fn request_for(self, body: &impl Serialize) -> Option<CreateRequest> {
        let CallerKey { key, actor } = self.0?;
        let body = serde_json::to_vec(body).expect("a body that was read from JSON can be written as JSON");
        Some(CreateRequest::new(actor.as_deref(), key, &body))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Idempotency {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        match key(request.headers()) {
            Ok(key) => Outcome::Success(Self(key.map(|key| CallerKey { key, actor: actor(request) }))),
            Err(problem) => Outcome::Error((problem.cache_for_catcher(request), ())),
        }
    }
}

impl Input for Idempotency {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        let description = "A key that the caller chooses for this request. For 24 hours, the same request with the \
            same key gets the stored response.";
        operation.header::<IdempotencyKey>(IdempotencyKey::HEADER, description);
        if let Err(invalid) = IdempotencyKey::new("") {
            operation.problem("The key is not valid, or there are several.", &Problem::bad_key(invalid.to_string()));
        }
        let reused = Problem::from(BatchError::KeyReused(example_id()));
        operation.problem("Another request with this key was accepted before.", &reused);
    }
}

fn key(headers: &HeaderMap<'_>) -> Result<Option<IdempotencyKey>, Problem> {
    let mut keys = headers.get(IdempotencyKey::HEADER);
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some(text), None) => {
            IdempotencyKey::new(text).map(Some).map_err(|invalid| Problem::bad_key(invalid.to_string()))
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_key(format!("a request may have only one `{}`", IdempotencyKey::HEADER)))
        }
    }
}

fn actor(request: &Request<'_>) -> Option<String> {
    request.rocket().state::<Rights>().and_then(|rights| rights.actor(request))
}
