//! Who may call which route.

use rocket::{
    Request,
    error::ErrorKind,
    http::{Method, Status},
    local::asynchronous::Client,
    outcome::Outcome,
    request::{self, FromRequest},
};
use rocket_batch::{Batch, Right};

use crate::shop::{Admin, Reader, Reply, Shop, Writer, a_shop, from, guarded_by};

/// A mounted route, and a path that matches it.
struct Mounted {
    method: Method,
    path: String,
}

impl Mounted {
    /// The right that the route should need, by its method.
    fn right(&self) -> Right {
        if self.method == Method::Get { Right::Read } else { Right::Write }
    }

    async fn asked_by(&self, shop: &Shop, who: Option<&'static str>) -> Reply {
        let mut request = shop.client.req(self.method, self.path.clone());
        who.into_iter().for_each(|who| request.add_header(from(who)));
        shop.ask(request).await
    }
}

/// The open routes: the probes, the rights of the caller, and files without data.
const OPEN: [&str; 5] =
    ["/batches/health/", "/batches/rights", "/batches/dashboard", "/batches/docs", "/batches/openapi.json"];

/// All other routes under the base. Taken from the rocket, so that new routes are included.
fn guarded_routes(shop: &Shop) -> Vec<Mounted> {
    let ours = shop.client.rocket().routes().filter(|route| route.uri.base() == "/batches");
    let mounted = ours.map(|route| Mounted {
        method: route.method,
        path: route.uri.path().replace("<id>", "1").replace("<code>", "X"),
    });
    let mounted: Vec<_> = mounted.filter(|route| !OPEN.iter().any(|path| route.path.starts_with(path))).collect();
    assert!(mounted.len() >= 11 && mounted.iter().all(|route| !route.path.contains('<')));
    mounted
}

fn refused(reply: &Reply) -> bool {
    [401, 403].contains(&reply.status)
}

#[rocket::async_test]
async fn every_route_except_the_probes_calls_the_guard() {
    let shop = guarded_by(Batch::fairing().guard::<Admin>()).open().await;

    for route in guarded_routes(&shop) {
        let stranger = route.asked_by(&shop, None).await;
        stranger.problem(401, &["credentials"]);
        assert_eq!(stranger.header("WWW-Authenticate"), Some("Bearer"));
        route.asked_by(&shop, Some("guest")).await.problem(403, &["credentials"]);
        let admin = route.asked_by(&shop, Some("admin")).await;
        assert!(!refused(&admin), "{} {}: {admin:?}", route.method, route.path);
    }
}

#[rocket::async_test]
async fn reading_and_writing_are_two_rights() {
    let shop = guarded_by(Batch::fairing().read_guard::<Reader>().write_guard::<Writer>()).open().await;

    for route in guarded_routes(&shop) {
        let (may, may_not) = match route.right() {
            Right::Read => ("reader", "writer"),
            Right::Write => ("writer", "reader"),
        };
        assert!(!refused(&route.asked_by(&shop, Some(may)).await), "{} {}", route.method, route.path);
        assert!(!refused(&route.asked_by(&shop, Some("both")).await), "{} {}", route.method, route.path);
        route.asked_by(&shop, Some(may_not)).await.problem(403, &[]);
        route.asked_by(&shop, None).await.problem(401, &[]);
    }
}

#[rocket::async_test]
async fn the_last_guard_of_a_right_applies() {
    let shop = guarded_by(Batch::fairing().public().write_guard::<Writer>()).open().await;

    for route in guarded_routes(&shop) {
        let refused = refused(&route.asked_by(&shop, None).await);
        assert_eq!(refused, route.right() == Right::Write, "{} {}", route.method, route.path);
    }
}

/// A guard that borrows from the request.
struct User<'r>(&'r str);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User<'r> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        match request.headers().get_one("x-who") {
            Some(name) => Outcome::Success(Self(name)),
            None => Outcome::Forward(Status::Unauthorized),
        }
    }
}

#[rocket::async_test]
async fn a_closure_decides_by_right_and_may_use_a_borrowing_guard() {
    let fairing = Batch::fairing().authorize(|request, right| {
        Box::pin(async move {
            match (request.guard::<User<'_>>().await, right) {
                (Outcome::Success(User("admin")), _) | (Outcome::Success(User("reader")), Right::Read) => Ok(()),
                (Outcome::Success(_), _) => Err(Status::Forbidden),
                (Outcome::Forward(status) | Outcome::Error((status, ())), _) => Err(status),
            }
        })
    });
    let shop = guarded_by(fairing).open().await;

    for route in guarded_routes(&shop) {
        let reader = route.asked_by(&shop, Some("reader")).await;
        assert_eq!(refused(&reader), route.right() == Right::Write, "{} {}", route.method, route.path);
        assert!(!refused(&route.asked_by(&shop, Some("admin")).await));
        route.asked_by(&shop, Some("guest")).await.problem(403, &[]);
        route.asked_by(&shop, None).await.problem(401, &[]);
    }
}

#[rocket::async_test]
async fn public_is_open_to_all() {
    let shop = a_shop().open().await;

    for route in guarded_routes(&shop) {
        assert!(!refused(&route.asked_by(&shop, None).await), "{} {}", route.method, route.path);
    }
}

/// A guard that forwards, as some do to try another route.
struct Elsewhere;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Elsewhere {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
        let status = request.headers().get_one("x-who").and_then(|code| code.parse().ok()).unwrap_or(404);
        Outcome::Forward(Status::new(status))
    }
}

#[rocket::get("/<_..>")]
fn everything() -> &'static str {
    "the host's own page"
}

#[rocket::async_test]
async fn a_forwarding_guard_refuses_and_no_route_of_the_host_responds() {
    let plan = guarded_by(Batch::fairing().guard::<Elsewhere>()).with_statuses_of_its_own();
    let shop = plan.open_with(|rocket| rocket.mount("/", rocket::routes![everything])).await;

    for route in guarded_routes(&shop) {
        route.asked_by(&shop, None).await.problem(404, &[]);
        route.asked_by(&shop, Some("401")).await.problem(401, &[]);
        route.asked_by(&shop, Some("200")).await.problem(403, &[]);
    }
    assert_eq!(shop.get("/shelf").await.body, "the host's own page");
}

#[rocket::async_test]
async fn the_body_of_an_unauthorized_request_is_not_read() {
    let shop = guarded_by(Batch::fairing().guard::<Admin>()).open().await;

    shop.post("/batches", "no JSON").await.problem(401, &[]);
}

#[rocket::async_test]
async fn the_launch_fails_if_a_right_has_no_guard() {
    let unsaid = [Batch::fairing(), Batch::fairing().read_guard::<Reader>(), Batch::fairing().write_guard::<Writer>()];

    for fairing in unsaid {
        let (rocket, _folder) = guarded_by(fairing).rocket();
        let error = Client::untracked(rocket).await.expect_err("the launch must fail");
        assert!(matches!(error.kind(), ErrorKind::FailedFairings(_)), "{error}");
    }
}
