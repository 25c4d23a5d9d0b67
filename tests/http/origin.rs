//! Write requests from web pages. Without the check, a form on any page could cancel a batch of a
//! user who is logged in by a cookie.

use rocket::http::{ContentType, Header, Method};
use rocket_batch::Batch;
use serde_json::json;

use crate::shop::{Admin, Plan, Reply, Shop, a_shop, from, guarded_by};

/// The headers by which a browser identifies the page.
type Headers = &'static [(&'static str, &'static str)];

const FOREIGN: [Headers; 5] = [
    &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://other.example")],
    &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://other.shop.example")],
    &[("Sec-Fetch-Site", "cross-site"), ("Origin", "null")],
    &[("Origin", "https://other.example")],
    &[("Origin", "null")],
];

const OWN: [Headers; 4] = [
    &[],
    &[("Sec-Fetch-Site", "none")],
    &[("Sec-Fetch-Site", "same-origin"), ("Origin", "http://shop.example:8000")],
    &[("Origin", "http://shop.example:8000")],
];

/// A shop without workers at shop.example:8000 with a batch that may be paused.
async fn opened(plan: Plan) -> Shop {
    let shop = plan.without_workers().open().await;
    let body = json!({ "batchId": 1, "quantity": 10 }).to_string();
    let request = shop.client.post("/batches").header(ContentType::JSON).header(from("admin")).body(body);
    shop.ask(request).await.expect(202);
    shop
}

async fn ask(shop: &Shop, method: Method, path: &str, headers: Headers, who: Option<&'static str>) -> Reply {
    let mut request = shop.client.req(method, path.to_owned());
    request.inner_mut().set_host(rocket::http::uri::Host::parse("shop.example:8000").unwrap());
    headers.iter().for_each(|(name, value)| request.add_header(Header::new(*name, *value)));
    who.into_iter().for_each(|who| request.add_header(from(who)));
    shop.ask(request).await
}

/// Taken from the rocket, so that new routes are included.
fn writing_routes(shop: &Shop) -> Vec<(Method, String)> {
    let ours = shop.client.rocket().routes().filter(|route| route.uri.base() == "/batches");
    let writing = ours.filter(|route| ![Method::Get, Method::Head, Method::Options].contains(&route.method));
    let writing: Vec<_> = writing.map(|route| (route.method, route.uri.path().replace("<id>", "1"))).collect();
    assert!(writing.len() >= 5 && writing.iter().all(|(_, path)| !path.contains('<')), "{writing:?}");
    writing
}

#[rocket::async_test]
async fn a_page_of_another_origin_writes_nothing() {
    let shop = opened(a_shop()).await;
    let before = shop.get("/batches").await.json();

    for (method, path) in writing_routes(&shop) {
        for headers in FOREIGN {
            let reply = ask(&shop, method, &path, headers, None).await;
            let problem = reply.problem(403, &["another origin", "`batch.allowed_origins`"]);
            assert_eq!(
                (&problem["type"], &problem["header"]),
                (&json!("urn:rocket-batch:cross-site"), &json!(headers[0].0))
            );
            let nameable = headers.last().unwrap().1 != "null";
            assert_eq!(reply.body.contains("add \\\"https://other."), nameable, "{problem}");
        }
    }

    assert_eq!(shop.get("/batches").await.json(), before);
}

#[rocket::async_test]
async fn pages_of_the_own_origin_and_other_clients_may_write() {
    let shop = opened(a_shop()).await;

    for headers in OWN {
        assert_eq!(ask(&shop, Method::Post, "/batches/1/pause", headers, None).await.expect(200)["status"], "paused");
        assert_eq!(ask(&shop, Method::Post, "/batches/1/resume", headers, None).await.expect(200)["status"], "pending");
    }
}

#[rocket::async_test]
async fn pages_of_every_origin_may_read() {
    let shop = opened(a_shop()).await;

    for headers in FOREIGN {
        for path in ["/batches", "/batches/1", "/batches/health/live", "/batches/openapi.json"] {
            let reply = ask(&shop, Method::Get, path, headers, None).await;
            assert_eq!((reply.status, reply.header("Access-Control-Allow-Origin")), (200, None), "{path}");
        }
    }
}

/// The guard would see the cookies of the browser's user.
#[rocket::async_test]
async fn no_guard_is_called_for_a_page_of_another_origin() {
    let shop = opened(guarded_by(Batch::fairing().guard::<Admin>())).await;

    for (method, path) in writing_routes(&shop) {
        for who in [None, Some("guest"), Some("admin")] {
            let problem = ask(&shop, method, &path, FOREIGN[0], who).await.problem(403, &[]);
            assert_eq!(problem["type"], "urn:rocket-batch:cross-site", "{who:?}");
        }
        ask(&shop, method, &path, OWN[2], None).await.problem(401, &["credentials"]);
    }
}

#[rocket::async_test]
async fn a_listed_origin_may_write_with_any_sec_fetch_site() {
    let plan = guarded_by(Batch::fairing().guard::<Admin>());
    let shop = opened(plan.with("batch.allowed_origins", vec!["https://other.example"])).await;
    let listed: [Headers; 3] = [
        &[("Origin", "https://other.example")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", "https://other.example")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://other.example:443")],
    ];

    for headers in listed {
        let paused = ask(&shop, Method::Post, "/batches/1/pause", headers, Some("admin")).await;
        assert_eq!(paused.expect(200)["status"], "paused", "{headers:?}");
        ask(&shop, Method::Post, "/batches/1/resume", headers, None).await.problem(401, &[]);
        ask(&shop, Method::Post, "/batches/1/resume", headers, Some("admin")).await.expect(200);
    }
    for headers in [FOREIGN[1], FOREIGN[2], FOREIGN[4]] {
        ask(&shop, Method::Post, "/batches/1/pause", headers, Some("admin")).await.problem(403, &["another origin"]);
    }
}

/// The server takes the host from the request that it receives.
#[rocket::async_test]
async fn over_a_real_connection_the_origin_must_match_the_host_header() {
    let shop = a_shop().without_workers().listen().await;
    let port = shop.port;
    let client = reqwest::Client::new();
    let post = async |path: &str, headers: &[(&str, &str)]| {
        let url = format!("http://127.0.0.1:{port}/batches{path}");
        let request = client.post(url).json(&json!({ "batchId": 1, "quantity": 10 }));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let own = format!("http://127.0.0.1:{port}");
    let other_port = format!("http://127.0.0.1:{}", port ^ 1);

    assert_eq!(post("/", &[]).await.0, 202);
    for headers in [("Origin", other_port.as_str()), ("Origin", "http://127.0.0.1"), ("Sec-Fetch-Site", "cross-site")] {
        let (status, problem) = post("/1/cancel", &[headers]).await;
        assert_eq!((status, &problem["type"]), (403, &json!("urn:rocket-batch:cross-site")), "{headers:?}");
    }
    assert_eq!(post("/1/pause", &[("Origin", &own)]).await.1["status"], "paused");
    assert_eq!(post("/1/cancel", &[("Origin", &other_port), ("Sec-Fetch-Site", "same-origin")]).await.0, 200);
    // Behind a proxy that changes `Host`, the host's own origin is unknown.
    assert_eq!(post("/1/cancel", &[("Origin", &own), ("Host", "10.0.0.1")]).await.0, 403);
    shop.close().await;
}
