//! Serves the live page: static files, and the settings that the page reads.
//!
//! ```text
//!   <base>/dashboard                  index.html
//!   <base>/dashboard/main.js          shows the page and loads the other modules
//!   <base>/dashboard/preact.js        Preact and htm, unchanged from npm; LICENSES.txt is beside it
//!   <base>/dashboard/settings.json    the title and the link that the host has set
//! ```
//!
//! The files contain no data, so they need no credentials; the routes that the page calls do. All
//! links of the page are relative, so that a host may mount it anywhere behind any proxy.

use rocket::{
    Data, Request, Response, Route,
    http::{ContentType, Method, Status},
    outcome::Outcome,
    route::{self, Handler},
};
use serde_json::json;

use super::files::File;
use crate::config::DashboardSettings;

/// A file of the page: its name and its bytes.
type Asset = (&'static str, &'static [u8]);

macro_rules! assets {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("dashboard/", $name)).as_slice())),*]
    };
}

const INDEX: &[u8] = include_bytes!("dashboard/index.html");

const ASSETS: [Asset; 44] = assets![
    "LICENSES.txt",
    "actions.js",
    "announce.js",
    "api.js",
    "batch-data.js",
    "batch.css",
    "batch.js",
    "batches-data.js",
    "batches.js",
    "clock.js",
    "connection.js",
    "create.js",
    "failures.js",
    "format.js",
    "header.js",
    "history.js",
    "icon.svg",
    "items.js",
    "job-map.js",
    "job.js",
    "keys.js",
    "lazy.js",
    "location.js",
    "main.js",
    "pace.js",
    "pages.js",
    "parts.css",
    "parts.js",
    "preact.js",
    "preview.js",
    "progress-bar.js",
    "report.js",
    "rights.js",
    "search.js",
    "session.js",
    "sign-in.js",
    "sparkline.js",
    "states.js",
    "store.js",
    "stream.js",
    "style.css",
    "theme.js",
    "waiting.js",
    "workers.js",
];

/// The routes of all files, below the base.
pub(super) fn files(settings: &DashboardSettings) -> Vec<Route> {
    let names = json!({ "title": settings.title, "back": settings.back }).to_string();
    let mut files = vec![
        Route::new(Method::Get, "/dashboard", Index(File::revalidated(ContentType::HTML, INDEX))),
        File::generated(ContentType::JSON, names).at("/dashboard/settings.json"),
    ];
    files.extend(ASSETS.map(|(name, bytes)| File::revalidated(kind(name), bytes).at(&format!("/dashboard/{name}"))));
    files
}

fn kind(name: &str) -> ContentType {
    let extension = name.rsplit('.').next().unwrap_or_default();
    ContentType::from_extension(extension).unwrap_or(ContentType::Binary)
}

/// The page itself. Its links are relative to the base, and would lead elsewhere from a path with a
/// slash at the end.
#[derive(Clone)]
struct Index(File);

#[rocket::async_trait]
impl Handler for Index {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> route::Outcome<'r> {
        if !request.uri().path().ends_with('/') {
            return self.0.handle(request, data).await;
        }
        let mut response = Response::build();
        response.status(Status::PermanentRedirect).raw_header("Location", "../dashboard");
        Outcome::Success(response.finalize())
    }
}
