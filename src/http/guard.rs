//! [`BatchService`] as a request guard of the host's handlers. The launch fails if a handler uses
//! it and the fairing is not attached.

use rocket::{
    Ignite, Phase, Request, Rocket, Sentinel,
    outcome::Outcome,
    request::{self, FromRequest},
};

use super::{problem::Problem, rights::Rights, span::position};
use crate::{
    domain::Caller,
    service::{BatchError, BatchService},
};

const NOT_ATTACHED: &str = "a handler uses `BatchService`, but the fairing is not attached; \
    add `.attach(Batch::fairing().guard::<YourGuard>())`";

impl BatchService {
    /// The service of `rocket`, for fairings and tests. Returns `None` if the fairing is not
    /// attached or has not ignited yet.
    ///
    /// ```
    /// use rocket::{Orbit, Rocket, fairing::AdHoc};
    /// use rocket_batch::BatchService;
    ///
    /// let announce = AdHoc::on_liftoff("Announce", |rocket: &Rocket<Orbit>| {
    ///     Box::pin(async move {
    ///         let ready = BatchService::fetch(rocket).is_some_and(BatchService::is_ready);
    ///         println!("batches are {}", if ready { "accepted" } else { "refused" });
    ///     })
    /// });
    /// ```
    #[must_use]
    pub fn fetch<P: Phase>(rocket: &Rocket<P>) -> Option<&Self> {
        rocket.state()
    }
}

/// Who asks, as the host's `.actor(..)` names the caller.
fn caller(request: &Request<'_>, with_address: bool) -> Caller {
    let actor = request.rocket().state::<Rights>().and_then(|rights| rights.actor(request));
    let address = if with_address { request.client_ip() } else { None };
    Caller::named(actor.as_deref()).at(address).in_trace(position(request))
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BatchService {
    type Error = BatchError;

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, Self::Error> {
        if let Some(service) = Self::fetch(request.rocket()) {
            Outcome::Success(service.asked_by(caller(request, service.records_addresses())))
        } else {
            tracing::error!("{NOT_ATTACHED}");
            let status = Problem::from(BatchError::Internal(NOT_ATTACHED.into())).cache_for_catcher(request);
            Outcome::Error((status, BatchError::Internal(NOT_ATTACHED.into())))
        }
    }
}

impl Sentinel for BatchService {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        let missing = Self::fetch(rocket).is_none();
        if missing {
            tracing::error!("{NOT_ATTACHED}");
        }
        missing
    }
}
