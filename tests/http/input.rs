//! Every kind of bad request: its status, an error that names what is wrong and what is allowed,
//! and no effect.

use std::time::Duration;

use rocket::http::ContentType;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    preview::wrong_fields,
    shop::{Shop, a_shop},
};

async fn there_is_no_batch(shop: &Shop) {
    assert_eq!(shop.pages("/batches", 10).await.0.len(), 0);
}

#[rocket::async_test]
async fn the_error_for_a_number_out_of_range_names_field_limits_and_value() {
    let shop = a_shop().without_workers().open().await;
    let table = [
        ("quantity", json!({ "quantity": 0 }), "1 to 10000000", "is 0"),
        ("quantity", json!({ "quantity": -5 }), "1 to 10000000", "is -5"),
        ("quantity", json!({ "quantity": 10_000_001 }), "1 to 10000000", "is 10000001"),
        ("quantity", json!({ "quantity": u64::MAX }), "1 to 10000000", "is 18446744073709551615"),
        ("quantity", json!({ "quantity": 10_001, "maxJobsPerBatch": 1 }), "at most 10000", "is 10001"),
        ("batchId", json!({ "quantity": 1, "batchId": 0 }), "1 to 9007199254740991", "is 0"),
        ("batchId", json!({ "quantity": 1, "batchId": -1 }), "1 to 9007199254740991", "is -1"),
        ("batchId", json!({ "quantity": 1, "batchId": 1_u64 << 53 }), "1 to 9007199254740991", "is 9007199254740992"),
        ("batchId", json!({ "quantity": 1, "batchId": u64::MAX }), "1 to 9007199254740991", "is 18446744073709551615"),
        ("batchSize", json!({ "quantity": 1, "batchSize": 0 }), "1 to 10000", "is 0"),
        ("batchSize", json!({ "quantity": 1, "batchSize": -100 }), "1 to 10000", "is -100"),
        ("batchSize", json!({ "quantity": 1, "batchSize": 10_001 }), "1 to 10000", "is 10001"),
        ("maxJobsPerBatch", json!({ "quantity": 1, "maxJobsPerBatch": 0 }), "1 to 1000", "is 0"),
        ("maxJobsPerBatch", json!({ "quantity": 1, "maxJobsPerBatch": -1 }), "1 to 1000", "is -1"),
        ("maxJobsPerBatch", json!({ "quantity": 1, "maxJobsPerBatch": 1_001 }), "1 to 1000", "is 1001"),
        ("qrCodePrefix", json!({ "quantity": 1, "qrCodePrefix": "" }), "1 to 16", "A-Z"),
        ("qrCodePrefix", json!({ "quantity": 1, "qrCodePrefix": "seventeen-letters" }), "1 to 16", "A-Z"),
        ("qrCodePrefix", json!({ "quantity": 1, "qrCodePrefix": "a/b" }), "1 to 16", "A-Z"),
        ("qrCodePrefix", json!({ "quantity": 1, "qrCodePrefix": "\u{0}" }), "1 to 16", "A-Z"),
    ];

    for (field, body, limit, value) in table {
        let reply = shop.post("/batches", &body).await;
        assert_eq!(reply.problem(422, &[&format!("`{field}`"), limit, value])["field"], field, "{body}");
    }
    there_is_no_batch(&shop).await;
}

/// With the setting at 10, a request for 100,000 jobs once got them all.
#[rocket::async_test]
async fn a_request_for_more_jobs_than_the_setting_allows_is_refused() {
    let shop = a_shop().without_workers().with("batch.max_jobs_per_batch", 10).open().await;
    let body = |jobs: u64| json!({ "quantity": 1_000, "batchSize": 1, "maxJobsPerBatch": jobs });

    for jobs in [11, 100_000] {
        let reply = shop.post("/batches", body(jobs)).await;
        let problem = reply.problem(422, &["`maxJobsPerBatch`", "1 to 10", &format!("is {jobs}")]);
        assert_eq!(problem["field"], "maxJobsPerBatch");
    }

    there_is_no_batch(&shop).await;
    assert_eq!(shop.post("/batches", body(10)).await.expect(202)["jobsCreated"], 10);
    assert_eq!(shop.post("/batches", body(4)).await.expect(202)["jobsCreated"], 4);
}

#[rocket::async_test]
async fn the_error_for_json_of_the_wrong_type_names_the_field() {
    let shop = a_shop().without_workers().open().await;
    let table = [
        ("{}", "quantity"),
        ("[]", "struct CreateBatch"),
        ("null", "struct CreateBatch"),
        ("5", "struct CreateBatch"),
        (r#"{"quantity":null}"#, "quantity"),
        (r#"{"quantity":"5"}"#, "quantity"),
        (r#"{"quantity":1.5}"#, "quantity"),
        (r#"{"quantity":1e30}"#, "quantity"),
        (r#"{"quantity":true}"#, "quantity"),
        (r#"{"quantity":[1]}"#, "quantity"),
        (r#"{"quantity":1,"quantity":2}"#, "quantity"),
        (r#"{"quantity":1,"batchId":"7"}"#, "batchId"),
        (r#"{"quantity":1,"qrCodePrefix":7}"#, "qrCodePrefix"),
        (r#"{"quantity":1,"batchsize":7}"#, "batchsize"),
        (r#"{"quantity":1,"batch_size":7}"#, "batch_size"),
        (r#"{"quantity":1,"colour":"red"}"#, "colour"),
    ];

    for (body, named) in table {
        shop.post("/batches", body).await.problem(422, &[named]);
    }
    there_is_no_batch(&shop).await;
}

#[rocket::async_test]
async fn the_error_for_an_unknown_field_lists_the_known_ones() {
    let shop = a_shop().without_workers().open().await;

    let reply = shop.post("/batches", r#"{"quantity":1,"batchsize":7}"#).await;

    let problem = reply.problem(422, &["batchSize", "qrCodePrefix", "maxJobsPerBatch", "batchId"]);
    assert_eq!(problem["field"], "batchsize");
}

#[rocket::async_test]
async fn the_error_names_every_wrong_field_at_once() {
    let shop = a_shop().without_workers().open().await;
    let body = json!({
        "colour": "red", "maxJobsPerBatch": 0, "qrCodePrefix": "a/b", "batchSize": "5", "batchId": -1, "quantity": 0,
    });
    let few = json!({ "quantity": 10_001, "maxJobsPerBatch": 1, "batchSize": 0, "qrCodePrefix": "" });

    let all = shop.post("/batches", body).await;
    let over_several = shop.post("/batches", few).await;
    let other_first = shop.post("/batches", r#"{"batchSize":5.5,"maxJobsPerBatch":0}"#).await;

    let words = ["`quantity` must be 1 to 10000000, but is 0; `batchId` must be", "; `colour`: unknown field `colour`"];
    let problem = all.problem(422, &words);
    let fields = ["quantity", "batchId", "batchSize", "maxJobsPerBatch", "colour", "qrCodePrefix"];
    assert_eq!((&problem["field"], wrong_fields(&problem)), (&json!("quantity"), fields.to_vec()));
    let batch_size = "`batchSize`: invalid type: string \"5\", expected a whole number";
    assert_eq!(problem["errors"][2], json!({ "field": "batchSize", "detail": batch_size }));
    let problem = over_several.problem(422, &["at most 10000 (maxJobsPerBatch 1 × 10000 items per job)"]);
    assert_eq!(wrong_fields(&problem), ["batchSize", "quantity", "qrCodePrefix"]);
    let problem = other_first.problem(422, &["missing field `quantity`; `batchSize`: invalid type"]);
    assert_eq!(wrong_fields(&problem), ["quantity", "batchSize", "maxJobsPerBatch"]);
    there_is_no_batch(&shop).await;
}

#[rocket::async_test]
async fn a_single_wrong_field_is_the_only_error() {
    let shop = a_shop().without_workers().open().await;
    let bodies = [
        r#"{"quantity":0}"#,
        r#"{"quantity":null}"#,
        "{}",
        r#"{"quantity":1,"quantity":1}"#,
        r#"{"quantity":1,"batchId":"7"}"#,
        r#"{"quantity":1,"x":1,"x":2}"#,
        r#"{"quantity":10001,"maxJobsPerBatch":1}"#,
    ];

    for body in bodies {
        let problem = shop.post("/batches", body).await.problem(422, &[]);
        assert_eq!(problem["errors"], json!([{ "field": problem["field"], "detail": problem["detail"] }]), "{body}");
    }
    let problem = shop.get("/batches?limit=0").await.problem(422, &[]);
    assert_eq!(problem["errors"], json!([{ "field": "limit", "detail": problem["detail"] }]));
}

/// Unknown fields come from outside, so neither their names nor their number is bounded.
#[rocket::async_test]
async fn many_unknown_fields_make_no_long_error() {
    let shop = a_shop().without_workers().open().await;
    let names = (0..200).map(|n| (format!("{n}{}", "x".repeat(250)), json!(n)));
    let body: serde_json::Map<_, _> = names.collect();

    let reply = shop.post("/batches", json!(body)).await;

    assert_eq!(wrong_fields(&reply.problem(422, &["`quantity`"])).len(), 16);
    assert!(reply.body.len() < 20_000, "{} bytes", reply.body.len());
}

/// Serde once stopped at the wrong field and answered 422, without reading the rest.
#[rocket::async_test]
async fn a_body_that_is_not_json_is_a_bad_request_also_after_a_wrong_field() {
    let shop = a_shop().without_workers().open().await;

    for body in [r#"{"quantity":"x""#, r#"{"colour":1,"#, r#"{"quantity":0} x"#] {
        shop.post("/batches", body).await.problem(400, &["not JSON"]);
    }
}

#[rocket::async_test]
async fn a_body_that_is_not_json_is_a_bad_request() {
    let shop = a_shop().without_workers().open().await;

    for body in ["", "{", r#"{"quantity":1"#, "quantity=1", r#"{"quantity":1} x"#, r#"{"quantity":01}"#, "\u{feff}{}"] {
        shop.post("/batches", body).await.problem(400, &["not JSON"]);
    }
    let not_text = shop.client.post("/batches").header(ContentType::JSON).body(b"{\"quantity\xff\":1}");
    shop.ask(not_text).await.problem(400, &["not JSON"]);
    there_is_no_batch(&shop).await;
}

#[rocket::async_test]
async fn the_error_for_a_wrong_content_type_names_the_right_one() {
    let shop = a_shop().without_workers().open().await;
    let body = || json!({ "quantity": 1 }).to_string();

    for kind in [Some(ContentType::Form), Some(ContentType::Text), Some(ContentType::XML), None] {
        let mut request = shop.client.post("/batches").body(body());
        kind.into_iter().for_each(|kind| request.add_header(kind));
        shop.ask(request).await.problem(415, &["application/json"]);
    }
    there_is_no_batch(&shop).await;

    let with_charset = ContentType::JSON.with_params(("charset", "utf-8"));
    shop.ask(shop.client.post("/batches").header(with_charset).body(body())).await.expect(202);
}

#[rocket::async_test]
async fn the_error_for_a_body_that_is_too_long_names_the_limit() {
    let usual = a_shop().without_workers().open().await;
    let small = a_shop().without_workers().with("limits.batch", "100B").open().await;
    let padded = |length: usize| format!("{{\"quantity\":1{}}}", " ".repeat(length - 14));

    usual.post("/batches", padded(64 * 1024 + 1)).await.problem(413, &["64KiB"]);
    small.post("/batches", padded(101)).await.problem(413, &["100B"]);

    there_is_no_batch(&usual).await;
    there_is_no_batch(&small).await;
    usual.post("/batches", padded(64 * 1024)).await.expect(202);
    small.post("/batches", padded(100)).await.expect(202);
}

/// Needs a real socket, because a body of the local client never stops. Rocket waits for the first
/// 14 bytes without a timeout before it routes, so this body stops after them.
#[rocket::async_test]
async fn a_body_that_stops_half_way_times_out() {
    let half = b"POST /batches HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"quantity\": 100";

    let [answer] = over_a_socket([half]).await;

    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// Rocket drops such a header, so the request is not idempotent. The guide documents this.
#[rocket::async_test]
async fn a_key_that_is_not_utf_8_is_ignored() {
    let post = b"POST /batches HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: k\xff\r\nContent-Length: 15\r\n\r\n{\"quantity\": 1}";

    let [first, second] = over_a_socket([post, post]).await;

    assert!(first.starts_with("HTTP/1.1 202") && first.contains("location: /batches/1\r\n"), "{first}");
    assert!(second.starts_with("HTTP/1.1 202") && second.contains("location: /batches/2\r\n"), "{second}");
}

/// Sends each of these byte strings on a connection of its own and returns the responses.
async fn over_a_socket<const N: usize>(requests: [&[u8]; N]) -> [String; N] {
    let shop = a_shop().without_workers().listen().await;
    let mut answers = [(); N].map(|()| String::new());
    for (request, answer) in requests.into_iter().zip(&mut answers) {
        let mut socket = TcpStream::connect(("127.0.0.1", shop.port)).await.unwrap();
        socket.write_all(request).await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(30), socket.read(&mut bytes)).await;
        *answer = String::from_utf8_lossy(&bytes[..read.expect("an answer comes").unwrap()]).into_owned();
    }
    shop.close().await;
    answers
}

#[rocket::async_test]
async fn a_path_with_an_impossible_batch_id_is_not_found() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(7, 10).await;
    let ids = [
        "8",
        "0",
        "-1",
        "9007199254740992",
        "99999999999999999999999",
        "abc",
        "7x",
        "07",
        "+7",
        "1.5",
        "%207",
        "%E2%9C%93",
    ];

    for id in ids {
        for list in ["", "/progress", "/jobs", "/failed-jobs", "/items"] {
            let problem = shop.get(&format!("/batches/{id}{list}")).await.problem(404, &["there is no batch"]);
            assert!(!problem["batchId"].is_null(), "{problem}");
        }
        for verb in ["retry", "cancel", "pause", "resume"] {
            shop.post_empty(&format!("/batches/{id}/{verb}")).await.problem(404, &["there is no batch"]);
        }
    }
    assert_eq!(shop.get("/batches/abc").await.problem(404, &["abc"])["batchId"], "abc");
    assert_eq!(shop.get("/batches/8").await.problem(404, &["8"])["batchId"], 8);
    assert_eq!(shop.status(7).await, "pending");
}

#[rocket::async_test]
async fn the_error_for_a_bad_query_names_what_is_allowed() {
    let shop = a_shop().without_workers().open().await;
    shop.batch(7, 10).await;
    let lists = ["/batches", "/batches/7/items", "/batches/7/jobs", "/batches/7/failed-jobs"];

    for list in lists {
        for limit in ["abc", "", "0", "-1", "1001", "1.5", "99999999999999999999999", "+"] {
            let reply = shop.get(&format!("{list}?limit={limit}")).await;
            assert_eq!(reply.problem(422, &["`limit`", "1 to 1000"])["field"], "limit", "{list} {limit}");
        }
        shop.get(&format!("{list}?limit=1000&colour=red")).await.expect(200);
        // With two values, Rocket once ignored both and listed everything.
        for twice in ["limit=5&limit=6", "limit=5&limit[]=6", "cursor=a&cursor=b"] {
            shop.get(&format!("{list}?{twice}")).await.problem(422, &["once", "2 times"]);
        }
    }
    for status in ["done", "", "Pending", "pending,running"] {
        let reply = shop.get(&format!("/batches?status={status}")).await;
        let all = ["pending", "running", "paused", "completed", "failed", "cancelled"];
        assert_eq!(reply.problem(422, &all)["field"], "status");
    }
    for state in ["done", "", "Waiting", "waiting,active"] {
        let reply = shop.get(&format!("/batches/7/jobs?state={state}")).await;
        let all = ["waiting", "active", "delayed", "completed", "failed", "cancelled"];
        assert_eq!(reply.problem(422, &all)["field"], "state");
    }
}

#[rocket::async_test]
async fn a_cursor_is_valid_for_its_own_list_only() {
    let shop = a_shop().open().await;
    for id in [1, 2] {
        shop.batch(id, 30).await;
        shop.until_it_is(id, "completed").await;
    }
    let cursor = async |list: &str| {
        let page = shop.get(list).await.expect(200);
        page["nextCursor"].as_str().unwrap_or_else(|| panic!("{list} has one page only")).to_owned()
    };
    let of_items = cursor("/batches/1/items?limit=1").await;
    let of_all = cursor("/batches?limit=1").await;
    let of_completed = cursor("/batches?status=completed&limit=1").await;
    let of_jobs = cursor("/batches/1/jobs?limit=1").await;
    let of_completed_jobs = cursor("/batches/1/jobs?state=completed&limit=1").await;
    let foreign = [
        ("/batches/2/items?", &of_items),
        ("/batches/1/failed-jobs?", &of_items),
        ("/batches?", &of_items),
        ("/batches/1/items?", &of_all),
        ("/batches?status=completed&", &of_all),
        ("/batches?", &of_completed),
        ("/batches/1/jobs?state=completed&", &of_jobs),
        ("/batches/1/jobs?", &of_completed_jobs),
        ("/batches/2/jobs?", &of_jobs),
        ("/batches/1/failed-jobs?", &of_jobs),
    ];

    for (list, cursor) in foreign {
        assert_eq!(shop.get(&format!("{list}cursor={cursor}")).await.problem(400, &["cursor"])["field"], "cursor");
    }
    for made_up in ["", "abc", "1", "%00", "aXRlbXM6MTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "aXRlbXM6MTotMQ"] {
        shop.get(&format!("/batches/1/items?cursor={made_up}")).await.problem(400, &["cursor"]);
    }
    shop.get(&format!("/batches/1/items?cursor={of_items}")).await.expect(200);
}
