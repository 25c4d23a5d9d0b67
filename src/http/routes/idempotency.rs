//! The header `Idempotency-Key`: a request that comes twice counts once.

use rocket::{
    Request,
    http::HeaderMap,
    outcome::Outcome,
    request::{self, FromRequest},
};
use serde::Serialize;

use crate::{
    domain::{BatchId, CreateRequest, IdempotencyKey},
    http::{
        openapi::{Input, Operation},
        problem::Problem,
        rights::Rights,
    },
    service::BatchError,
};

/// The key of a request, if it has one, and who sent it.
pub(super) struct Idempotency(Option<Sent>);

struct Sent {
    key: IdempotencyKey,
    /// As the host names the caller.
    actor: Option<String>,
}

impl Idempotency {
    /// The request for `body`, as it is remembered. Bodies are the same when they say the same:
    /// neither their spelling nor a setting that fills in what they leave out makes a difference.
    pub(super) fn request_for(self, body: &impl Serialize) -> Option<CreateRequest> {
        let Sent { key, actor } = self.0?;
        let said = serde_json::to_vec(body).expect("what was read from JSON can be written as JSON");
        Some(CreateRequest::new(actor.as_deref(), key, &said))
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Idempotency {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        match key(request.headers()) {
            Ok(key) => Outcome::Success(Self(key.map(|key| Sent { key, actor: actor(request) }))),
            Err(problem) => Outcome::Error((problem.leave(request), ())),
        }
    }
}

impl Input for Idempotency {
    fn describe(_: &str, operation: &mut Operation<'_>) {
        let what =
            "A word of the caller's own for this request. For 24 hours, what comes again under it is answered again.";
        operation.header::<IdempotencyKey>(IdempotencyKey::HEADER, what);
        let none = IdempotencyKey::new("").expect_err("too short");
        operation.problem("The key is none, or not the only one.", &Problem::bad_key(none.to_string()));
        let batch = BatchId::new(42).expect("in range");
        operation.problem("Under this key came another request.", &BatchError::KeyReused(batch).into());
    }
}

fn key(headers: &HeaderMap<'_>) -> Result<Option<IdempotencyKey>, Problem> {
    let mut sent = headers.get(IdempotencyKey::HEADER);
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(text), None) => {
            IdempotencyKey::new(text).map(Some).map_err(|invalid| Problem::bad_key(invalid.to_string()))
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_key(format!("a request may have one `{}`, not several", IdempotencyKey::HEADER)))
        }
    }
}

fn actor(request: &Request<'_>) -> Option<String> {
    request.rocket().state::<Rights>().and_then(|rights| rights.actor(request))
}
