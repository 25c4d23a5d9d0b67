//! Errors under the base are problem documents; other errors stay with the host.

use rocket::{Request, catch, catchers, get, post, routes, serde::json::Json};

use crate::shop::a_shop;

#[rocket::async_test]
async fn an_unknown_path_is_a_problem_under_the_base_only() {
    let shop = a_shop().open().await;

    for path in ["/batches/1/colour", "/batches/health/late", "/batches/1/progress/of"] {
        let problem = shop.get(path).await.problem(404, &["GET", path]);
        assert_eq!(problem["type"], "about:blank");
    }
    shop.post_empty("/batches/1").await.problem(404, &["POST /batches/1"]);
    for path in ["/shelf", "/batches2", "/"] {
        let reply = shop.get(path).await;
        assert_eq!(reply.status, 404);
        assert_ne!(reply.content_type.as_deref(), Some("application/problem+json"), "{path}");
    }
}

#[catch(default)]
fn host_catcher(_: &Request<'_>) -> &'static str {
    "from the host's catcher"
}

#[catch(404)]
fn host_catcher_for_404(_: &Request<'_>) -> &'static str {
    "from the host's catcher"
}

#[rocket::async_test]
async fn catchers_of_the_host_apply_outside_the_base() {
    let catchers = || catchers![host_catcher, host_catcher_for_404];
    let shop = a_shop().open_with(|rocket| rocket.register("/", catchers())).await;

    assert_eq!(shop.get("/shelf").await.body, "from the host's catcher");
    shop.get("/batches/8").await.problem(404, &["batch 8"]);
    shop.get("/batches/1/colour").await.problem(404, &[]);
}

#[get("/orders/<id>")]
fn order(id: i64) -> Result<String, rocket::http::Status> {
    match id {
        7 => Ok("order 7".into()),
        8 => Err(rocket::http::Status::Conflict),
        _ => panic!("a secret in a panic"),
    }
}

#[post("/orders", data = "<_body>")]
fn place(_body: Json<u64>) {}

#[rocket::async_test]
async fn the_catchers_of_the_crate_can_serve_the_routes_of_the_host() {
    let routes = || routes![order, place];
    let shop = a_shop().open_with(|rocket| rocket.mount("/", routes()).register("/", rocket_batch::catchers())).await;

    assert_eq!(shop.get("/orders/7").await.body, "order 7");
    shop.get("/shelf").await.problem(404, &["there is no GET /shelf"]);
    shop.get("/orders/seven").await.problem(422, &[]);
    shop.post("/orders", "\"seven\"").await.problem(422, &[]);
    shop.post("/orders", "x").await.problem(400, &[]);
    shop.get("/orders/8").await.problem(409, &[]);
    let broken = shop.get("/orders/9").await;
    broken.problem(500, &[]);
    assert!(!broken.body.contains("secret"));
    shop.get("/batches/8").await.problem(404, &["batch 8"]);
}

#[get("/batches/broken/down")]
fn broken() -> &'static str {
    panic!("a secret in a panic")
}

#[rocket::async_test]
async fn a_panic_under_the_base_hides_its_message() {
    let shop = a_shop().open_with(|rocket| rocket.mount("/", routes![broken])).await;

    let reply = shop.get("/batches/broken/down").await;

    reply.problem(500, &[]);
    assert!(!reply.body.contains("secret"));
}

#[rocket::async_test]
async fn head_is_answered_as_get_without_a_body() {
    let shop = a_shop().open().await;

    let good = shop.ask(shop.client.head("/batches")).await;
    let bad = shop.ask(shop.client.head("/batches/8")).await;

    assert_eq!((good.status, good.body.as_str()), (200, ""));
    assert_eq!((bad.status, bad.content_type.as_deref()), (404, Some("application/problem+json")));
}
