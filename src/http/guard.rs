//! [`BatchService`] in the host's own handlers, and the launch that fails when nobody attached the
//! fairing.

use rocket::{
    Ignite, Phase, Request, Rocket, Sentinel,
    outcome::Outcome,
    request::{self, FromRequest},
};

use super::problem::Problem;
use crate::service::{BatchError, BatchService};

const MISSING: &str =
    "`BatchService` is used, but its fairing is not attached; add `.attach(Batch::fairing().guard::<YourGuard>())`";

impl BatchService {
    /// The service of a rocket, for fairings and tests; `None` when the fairing is not attached, or
    /// did not ignite yet.
    ///
    /// ```
    /// use rocket::{Orbit, Rocket, fairing::AdHoc};
    /// use rocket_batch::BatchService;
    ///
    /// let announce = AdHoc::on_liftoff("Announce", |rocket: &Rocket<Orbit>| {
    ///     Box::pin(async move {
    ///         let ready = BatchService::fetch(rocket).is_some_and(BatchService::is_ready);
    ///         println!("batches are {}", if ready { "taken" } else { "refused" });
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn fetch<P: Phase>(rocket: &Rocket<P>) -> Option<&Self> {
        rocket.state()
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BatchService {
    type Error = BatchError;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        if let Some(service) = Self::fetch(request.rocket()) {
            Outcome::Success(service.clone())
        } else {
            tracing::error!("{MISSING}");
            let status = Problem::from(BatchError::Internal(MISSING.into())).leave(request);
            Outcome::Error((status, BatchError::Internal(MISSING.into())))
        }
    }
}

impl Sentinel for BatchService {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = Self::fetch(rocket).is_none();
        if missing {
            tracing::error!("{MISSING}");
        }
        missing
    }
}
