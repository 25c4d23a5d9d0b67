//! What a caller may do, by the host's own checks.

use rocket::{
    Request,
    outcome::Outcome,
    request::{self, FromRequest},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::{
    openapi::{Input, Operation},
    rights::Rights,
};

/// What the caller may do. As a guard it never fails.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(description = "What the caller may do.")]
pub(super) struct CallerRights {
    /// Whether the caller may read batches, items and progress.
    read: bool,
    /// Whether the caller may create, retry, cancel, pause and resume batches.
    write: bool,
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for CallerRights {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        let found = match request.rocket().state::<Rights>() {
            Some(rights) => Self { read: rights.may_read(request).await, write: rights.may_write(request).await },
            None => Self { read: false, write: false },
        };
        Outcome::Success(found)
    }
}

/// Describes nothing: the rights are the content of the response, and do not change its status.
impl Input for CallerRights {
    fn describe(_: &str, _: &mut Operation<'_>) {}
}
