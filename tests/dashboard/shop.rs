//! The shop of the tests of the page: an example to cargo, so that it is a process of its own.
//!
//! Its item writer refuses the items that a test names, each with its own reason. One caller may do
//! everything and one may only look; both log in by a token, or by a cookie with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use rocket::{
    Request, State,
    fairing::AdHoc,
    figment::providers::Serialized,
    http::Status,
    launch, post,
    request::{FromRequest, Outcome},
    routes,
    serde::json::Json,
};
use rocket_batch::{
    Batch, BoxError, ItemContext, NewItemRow,
    sqlite::{self, rusqlite::Connection},
};

const MANAGER: &str = "let-me-in";
const VISITOR: &str = "only-look";

/// Whether the shop has ended all sessions.
#[derive(Default)]
struct Closed(AtomicBool);

/// Returns the token of a request, while the shop accepts any.
fn token<'r>(request: &'r Request<'_>) -> Option<&'r str> {
    if request.rocket().state::<Closed>().is_some_and(|closed| closed.0.load(SeqCst)) {
        return None;
    }
    let header = request.headers().get_one("Authorization").and_then(|value| value.strip_prefix("Bearer "));
    header.or_else(|| request.cookies().get("token").map(rocket::http::Cookie::value))
}

/// A caller who may do everything.
struct Manager;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Manager {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match token(request) {
            Some(MANAGER) => Outcome::Success(Self),
            Some(VISITOR) => Outcome::Error((Status::Forbidden, ())),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// A caller who may read.
struct Reader;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Reader {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match token(request) {
            Some(MANAGER | VISITOR) => Outcome::Success(Self),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// Why an item can't be written, by its ordinal, in every batch.
type Reasons = BTreeMap<u64, String>;

#[derive(Clone, Default)]
struct Faults(Arc<RwLock<Reasons>>);

impl sqlite::ItemWriter for Faults {
    fn write(&self, _: &Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>) -> Result<(), BoxError> {
        let reasons = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match items.iter().find_map(|item| reasons.get(&item.ordinal)) {
            None => Ok(()),
            Some(reason) => Err(reason.clone().into()),
        }
    }
}

/// Refuses these items from now on, and no others.
#[post("/faults", data = "<reasons>")]
fn refuse(_manager: Manager, reasons: Json<Reasons>, faults: &State<Faults>) {
    *faults.0.write().unwrap_or_else(PoisonError::into_inner) = reasons.into_inner();
}

/// Accepts no token from now on.
#[post("/end-of-sessions")]
fn end_sessions(_manager: Manager, closed: &State<Closed>) {
    closed.0.store(true, SeqCst);
}

#[launch]
fn rocket() -> _ {
    tracing_subscriber::fmt().with_env_filter("info,rocket=warn").with_target(false).init();
    let faults = Faults::default();
    let settings = rocket::Config::figment().join(Serialized::global("batch.generate.rate_limit", "off"));
    rocket::custom(settings)
        .attach(
            Batch::fairing()
                .read_guard::<Reader>()
                .write_guard::<Manager>()
                .actor(|request| Some(if token(request)? == MANAGER { "manager" } else { "visitor" }.to_owned()))
                .sqlite_item_writer(faults.clone()),
        )
        .attach(AdHoc::on_liftoff("Welcome", |rocket| Box::pin(async move { welcome(rocket.config()) })))
        .manage(faults)
        .manage(Closed::default())
        .mount("/", routes![refuse, end_sessions])
}

/// Tests read the port here.
fn welcome(config: &rocket::Config) {
    println!("The shop is open at http://{}:{}.", config.address, config.port);
}
