//! The OpenAPI document as a file, and a page that shows it.
//!
//! ```text
//!   <base>/openapi.json
//!   <base>/docs           page.html ──▶ docs/page.js ──▶ Swagger UI ──▶ openapi.json
//! ```
//!
//! Nothing here holds data, so nobody is asked for credentials; what the page then calls asks for
//! them. The page needs no network beyond its own host, and is told so: its policy lets it load,
//! run and call nothing else.

use std::{borrow::Cow, io::Cursor};

use rocket::{
    Data, Request, Response, Route,
    http::{ContentType, Method},
    outcome::Outcome,
    route::{self, Handler},
};

use super::{openapi, rights::Security};
use crate::config::Config;

/// All of it, as routes below the base.
pub(super) fn files(config: &Config, security: &Security) -> Vec<Route> {
    let document = openapi::document(config, security).to_string();
    let mut files = vec![File::changing(ContentType::JSON, document).at("/openapi.json")];
    files.extend(page(&config.base));
    files
}

#[cfg(feature = "swagger-ui")]
fn page(base: &str) -> Vec<Route> {
    use swagger_ui_redist::{SwaggerUi, SwaggerUiStaticFile as Part};

    let html = include_str!("docs/page.html").replace("{base}", base);
    let mut files = vec![
        File::changing(ContentType::HTML, html).at("/docs"),
        File::lasting(ContentType::JavaScript, include_bytes!("docs/page.js")).at("/docs/page.js"),
    ];
    for (part, bytes) in SwaggerUi::static_files() {
        let kind = match part {
            Part::Css => ContentType::CSS,
            Part::Js => ContentType::JavaScript,
            Part::Favicon32 => ContentType::PNG,
            // What the page does not load.
            _ => continue,
        };
        files.push(File::lasting(kind, bytes).at(&format!("/docs/{}", part.file_name())));
    }
    files
}

#[cfg(not(feature = "swagger-ui"))]
fn page(_: &str) -> Vec<Route> {
    Vec::new()
}

/// What the page may do: run and show what comes from its own host, and call that. Pictures are in
/// the style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file that is part of the program.
#[derive(Clone)]
struct File {
    kind: ContentType,
    bytes: Cow<'static, [u8]>,
    /// How long a browser may keep it.
    keep: &'static str,
}

impl File {
    /// A file that says something else after a change of the settings.
    fn changing(kind: ContentType, text: String) -> Self {
        Self { kind, bytes: text.into_bytes().into(), keep: "no-cache" }
    }

    /// A file that says the same until the program is another one.
    #[cfg(feature = "swagger-ui")]
    fn lasting(kind: ContentType, bytes: &'static [u8]) -> Self {
        Self { kind, bytes: bytes.into(), keep: "public, max-age=3600" }
    }

    fn at(self, path: &str) -> Route {
        Route::new(Method::Get, path, self)
    }
}

#[rocket::async_trait]
impl Handler for File {
    /// `X-Content-Type-Options` comes from Rocket's Shield, which warns in the log when it is there
    /// already.
    async fn handle<'r>(&self, _: &'r Request<'_>, _: Data<'r>) -> route::Outcome<'r> {
        let mut response = Response::build();
        response
            .header(self.kind.clone())
            .raw_header("Cache-Control", self.keep)
            .raw_header("Content-Security-Policy", POLICY)
            .raw_header("Referrer-Policy", "no-referrer")
            .sized_body(self.bytes.len(), Cursor::new(self.bytes.clone()));
        Outcome::Success(response.finalize())
    }
}
