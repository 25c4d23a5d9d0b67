//! The live page: its files and their headers, its settings, and what its modules may contain.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use rocket::{
    error::ErrorKind,
    http::{Header, Status},
};
use rocket_batch::{Batch, Right};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::shop::{Admin, Reader, Reply, Shop, Writer, a_shop, from, guarded_by};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The maximum number of lines of a module.
const MAX_MODULE: usize = 200;

/// The maximum number of bytes that a browser loads before it shows the page.
const MAX_FIRST_VIEW: usize = 100_000;

/// Of `htm/preact/standalone.module.js` in htm 3.1.1, as npm has it.
const PREACT_SHA256: &str = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/dashboard")
}

/// The texts of all files of the page, by name.
fn sources() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (name_of(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The modules that are written here.
fn modules() -> BTreeMap<String, String> {
    let mut modules = sources();
    modules.retain(|name, _| has_extension(name, "js") && name != "preact.js");
    assert!(modules.len() > 20, "{:?}", modules.keys());
    modules
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// The paths of all files of the page that are mounted.
fn mounted(shop: &Shop) -> BTreeSet<String> {
    let paths = shop.client.rocket().routes().map(|route| route.uri.path().to_owned());
    paths.filter(|path| path.contains("/dashboard")).collect()
}

async fn if_none_match(shop: &Shop, path: &str, etag: &str) -> Reply {
    let header = Header::new("If-None-Match", etag.to_owned());
    shop.ask(shop.client.get(path.to_owned()).header(header)).await
}

#[rocket::async_test]
async fn every_file_of_the_page_is_served_without_credentials() {
    let shop = guarded_by(Batch::fairing().guard::<Admin>()).open().await;
    let mut expected: BTreeSet<_> = sources().into_keys().map(|name| format!("/batches/dashboard/{name}")).collect();
    expected.remove("/batches/dashboard/index.html");
    expected.extend(["/batches/dashboard".to_owned(), "/batches/dashboard/settings.json".to_owned()]);

    assert_eq!(mounted(&shop), expected);
    for path in expected {
        let reply = shop.get(&path).await;
        let kind = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript",
            "css" => "text/css; charset=utf-8",
            "json" => "application/json",
            "svg" => "image/svg+xml",
            "txt" => "text/plain; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!((reply.status, reply.content_type.as_deref()), (200, Some(kind)), "{path}");
        assert_eq!(reply.header("Content-Security-Policy"), Some(POLICY), "{path}");
        assert_eq!(reply.header("Cache-Control"), Some("no-cache"), "{path}");
        assert_eq!(reply.header("Referrer-Policy"), Some("no-referrer"), "{path}");
        assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
    }
}

#[rocket::async_test]
async fn a_browser_that_has_a_file_is_not_sent_it_again() {
    let shop = a_shop().open().await;
    let mut etags = BTreeSet::new();

    for path in mounted(&shop) {
        let etag = shop.get(&path).await.header("ETag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 30, "{etag}");

        let known = if_none_match(&shop, &path, &etag).await;
        assert_eq!((known.status, known.body.as_str()), (304, ""), "{path}");
        assert_eq!(known.header("ETag"), Some(etag.as_str()));
        assert_eq!(known.header("Cache-Control"), Some("no-cache"));
        let among_others = if_none_match(&shop, &path, &format!("\"other\", W/{etag}")).await;
        assert_eq!(among_others.status, 304, "{path}");
        let outdated = if_none_match(&shop, &path, "\"other\"").await;
        assert!(outdated.status == 200 && !outdated.body.is_empty(), "{path}");
        etags.insert(etag);
    }
    assert_eq!(etags.len(), mounted(&shop).len(), "two files have one tag");
}

/// The links of the page are relative: from a path with a slash at the end they led elsewhere.
#[rocket::async_test]
async fn a_slash_at_the_end_leads_to_the_page() {
    let shop = a_shop().open().await;

    let reply = shop.get("/batches/dashboard/").await;

    assert_eq!((reply.status, reply.header("Location")), (308, Some("../dashboard")));
}

#[rocket::async_test]
async fn the_page_can_be_disabled_and_a_worker_has_none() {
    let off = a_shop().with("batch.dashboard", false).open().await;
    let worker = a_shop().with("batch.role", "worker").with("batch.dashboard", true).open().await;
    let table = a_shop().with("batch.dashboard.enabled", false).open().await;

    for shop in [&off, &worker, &table] {
        assert_eq!(mounted(shop), BTreeSet::new());
    }
    off.get("/batches/dashboard").await.problem(404, &[]);
}

#[rocket::async_test]
async fn the_page_lies_below_the_base() {
    let shop = a_shop().with("batch.base", "/shop/lots").open().await;

    assert_eq!(shop.get("/shop/lots/dashboard").await.status, 200);
    assert_eq!(shop.get("/shop/lots/dashboard/main.js").await.status, 200);
}

/// The title is data for the page, which shows it as text.
#[rocket::async_test]
async fn a_hostile_title_is_sent_as_data_only() {
    let title = "</script><img src=x onerror=alert(1)>\"'&";
    let shop = a_shop().with("batch.dashboard.title", title).with("batch.dashboard.back", "/admin?x=<b>").open().await;

    let settings = shop.get("/batches/dashboard/settings.json").await;
    let page = shop.get("/batches/dashboard").await;

    assert_eq!(settings.content_type.as_deref(), Some("application/json"));
    assert_eq!(settings.json(), json!({ "title": title, "back": "/admin?x=<b>" }));
    assert_eq!(page.body, sources()["index.html"]);
}

#[rocket::async_test]
async fn a_back_link_that_runs_a_script_stops_the_launch() {
    let (rocket, _folder) = a_shop().with("batch.dashboard.back", "javascript:alert(1)").rocket();

    let refused = rocket.ignite().await.expect_err("the launch must fail");

    assert!(matches!(refused.kind(), ErrorKind::FailedFairings(_)), "{refused}");
}

#[test]
fn no_file_of_the_page_mentions_another_origin() {
    let namespace = "http://www.w3.org/2000/svg";
    for (name, text) in sources().into_iter().filter(|(name, _)| name != "LICENSES.txt") {
        // Names of XML namespaces are not loaded.
        let text = text.replace(namespace, "").replace("http://www.w3.org/1999/xhtml", "");
        for mark in ["http://", "https://", "=\"//", "url(//", "@import"] {
            assert!(!text.contains(mark), "{name} mentions {mark}");
        }
    }
}

#[test]
fn the_page_has_no_script_style_or_handler_within_it() {
    let page = sources().remove("index.html").unwrap();

    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("javascript:"), "{page}");
    for (at, _) in page.match_indices("<script") {
        let (tag, rest) = page[at..].split_once('>').unwrap();
        assert!(tag.contains("src=\"dashboard/") && rest.starts_with("</script>"), "{tag}");
    }
    let handler = page.split_whitespace().find(|word| word.starts_with("on") && word.contains('='));
    assert_eq!(handler, None);
}

#[test]
fn modules_are_short_and_show_data_as_text_only() {
    for (name, text) in modules() {
        let lines = text.lines().count();
        assert!(lines <= MAX_MODULE, "{name}: {lines} lines");
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "style=",
            "console.",
        ] {
            assert!(!text.contains(word), "{name} has {word}");
        }
        let starts_with_reason = text.starts_with("// ");
        assert!(starts_with_reason, "{name} does not start with its purpose");
    }
}

#[test]
fn preact_is_unchanged_from_npm_and_its_licenses_are_beside_it() {
    let preact = fs::read(folder().join("preact.js")).unwrap();
    let licenses = sources().remove("LICENSES.txt").unwrap();

    assert_eq!(HEXLOWER.encode(&Sha256::digest(&preact)), PREACT_SHA256);
    for words in ["htm 3.1.1", "Apache License", "Copyright 2018 Google Inc.", "The MIT License", "Jason Miller"] {
        assert!(licenses.contains(words), "LICENSES.txt lacks {words}");
    }
}

/// The modules that `text` imports when it is loaded, without those that it imports later.
fn imports(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.starts_with("import ") || line.starts_with("} from "));
    lines.filter_map(|line| Some(line.split_once("\"./")?.1.split_once('"')?.0.to_owned())).collect()
}

/// The modules that a browser loads before it runs `main.js`.
fn loaded_first(sources: &BTreeMap<String, String>) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), vec!["main.js".to_owned()]);
    while let Some(name) = next.pop() {
        if found.insert(name.clone()) {
            next.extend(imports(&sources[&name]));
        }
    }
    found
}

#[test]
fn the_first_view_is_small_and_all_its_modules_are_asked_for_at_once() {
    let sources = sources();
    let first = loaded_first(&sources);
    let page = &sources["index.html"];
    let beside = ["index.html", "theme.js", "style.css", "parts.css", "icon.svg"].map(str::to_owned);

    let bytes: usize = first.iter().chain(&beside).map(|name| sources[name].len()).sum();
    let preloaded: BTreeSet<_> = page
        .split("rel=\"modulepreload\" href=\"dashboard/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();

    assert!(bytes < MAX_FIRST_VIEW, "{bytes} bytes");
    let others: BTreeSet<_> = first.into_iter().filter(|name| name != "main.js").collect();
    assert_eq!(preloaded, others, "index.html preloads other modules than main.js needs");
}

#[test]
fn every_module_is_imported_by_another() {
    let sources = sources();
    let imported: BTreeSet<_> = sources
        .values()
        .flat_map(|text| text.split("\"./").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();

    for name in modules().into_keys().filter(|name| name != "main.js" && name != "theme.js") {
        assert!(imported.contains(name.as_str()), "{name} is never loaded");
    }
}

/// The page writes cursors itself, to show a job or an item without walking through all pages.
#[rocket::async_test]
async fn the_cursors_that_the_page_writes_lead_to_the_job_and_the_item() {
    let shop = a_shop().open().await;
    shop.batch(7, 95).await;
    shop.until_it_is(7, "completed").await;
    let cursor =
        |list: &str, next: u64| data_encoding::BASE64URL_NOPAD.encode(format!("{list}:{}", next - 1).as_bytes());

    let jobs = shop.get(&format!("/batches/7/jobs?limit=1&cursor={}", cursor("jobs:7:all", 8))).await.expect(200);
    let items = shop.get(&format!("/batches/7/items?limit=5&cursor={}", cursor("items:7", 90))).await.expect(200);

    assert_eq!(jobs["items"][0]["seq"], 8);
    let ordinals: Vec<_> = items["items"].as_array().unwrap().iter().map(|item| item["ordinal"].clone()).collect();
    assert_eq!(ordinals, [90, 91, 92, 93, 94].map(Value::from));
    assert!(modules()["api.js"].contains("`${list}:${next - 1}`"), "api.js writes other cursors");
    assert!(modules()["job.js"].contains("`jobs:${id}:all`") && modules()["items.js"].contains("`items:${id}`"));
}

async fn rights(shop: &Shop, who: Option<&'static str>) -> Value {
    let mut request = shop.client.get("/batches/rights");
    who.into_iter().for_each(|who| request.add_header(from(who)));
    shop.ask(request).await.expect(200)
}

#[rocket::async_test]
async fn a_caller_is_told_its_rights_by_the_checks_of_the_host() {
    let shop = guarded_by(Batch::fairing().read_guard::<Reader>().write_guard::<Writer>()).open().await;
    let open = a_shop().open().await;
    let both = |read: bool, write: bool| json!({ "read": read, "write": write });

    assert_eq!(rights(&shop, None).await, both(false, false));
    assert_eq!(rights(&shop, Some("reader")).await, both(true, false));
    assert_eq!(rights(&shop, Some("writer")).await, both(false, true));
    assert_eq!(rights(&open, None).await, both(true, true));
}

#[rocket::async_test]
async fn a_closure_gets_the_right_that_it_is_asked_for() {
    let fairing = Batch::fairing().authorize(|_, right| {
        Box::pin(async move {
            match right {
                Right::Read => Ok(()),
                Right::Write => Err(Status::Forbidden),
            }
        })
    });
    let shop = guarded_by(fairing).open().await;

    assert_eq!(rights(&shop, None).await, json!({ "read": true, "write": false }));
}

#[rocket::async_test]
async fn a_worker_has_no_route_for_rights() {
    let worker = a_shop().with("batch.role", "worker").open().await;

    assert_eq!(worker.get("/batches/rights").await.status, 404);
}
