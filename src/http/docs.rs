//! Serves the OpenAPI document as a file, and a page that shows it.
//!
//! ```text
//!   <base>/openapi.json
//!   <base>/docs           page.html ──▶ docs/page.js ──▶ Swagger UI ──▶ openapi.json
//! ```
//!
//! These files contain no data, so they need no credentials; the routes that the page calls do. The
//! content security policy of the page restricts it to its own host.

use std::{borrow::Cow, io::Cursor};

use rocket::{
    Data, Request, Response, Route,
    http::{ContentType, Method},
    outcome::Outcome,
    route::{self, Handler},
};

use super::{document::document, rights::Security};
use crate::config::Config;

/// The routes of all files, below the base.
pub(super) fn files(config: &Config, security: &Security) -> Vec<Route> {
    let document = document(config, security).to_string();
    let mut files = vec![File::generated(ContentType::JSON, document).at("/openapi.json")];
    files.extend(page(&config.base));
    files
}

#[cfg(feature = "swagger-ui")]
fn page(base: &str) -> Vec<Route> {
    use swagger_ui_redist::{SwaggerUi, SwaggerUiStaticFile as Part};

    let html = include_str!("docs/page.html").replace("{base}", base);
    let mut files = vec![
        File::generated(ContentType::HTML, html).at("/docs"),
        File::constant(ContentType::JavaScript, include_bytes!("docs/page.js")).at("/docs/page.js"),
    ];
    for (part, bytes) in SwaggerUi::static_files() {
        let kind = match part {
            Part::Css => ContentType::CSS,
            Part::Js => ContentType::JavaScript,
            Part::Favicon32 => ContentType::PNG,
            // The page does not load the other files.
            _ => continue,
        };
        files.push(File::constant(kind, bytes).at(&format!("/docs/{}", part.file_name())));
    }
    files
}

#[cfg(not(feature = "swagger-ui"))]
fn page(_: &str) -> Vec<Route> {
    Vec::new()
}

/// The content security policy of the page: scripts, styles and requests of its own host only. The
/// style sheet contains images as `data:` URLs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file that is compiled into the program.
#[derive(Clone)]
struct File {
    kind: ContentType,
    bytes: Cow<'static, [u8]>,
    /// The value of `Cache-Control`.
    cache_control: &'static str,
}

impl File {
    /// A file whose content depends on the settings.
    fn generated(kind: ContentType, text: String) -> Self {
        Self { kind, bytes: text.into_bytes().into(), cache_control: "no-cache" }
    }

    /// A file whose content only changes with the program.
    #[cfg(feature = "swagger-ui")]
    fn constant(kind: ContentType, bytes: &'static [u8]) -> Self {
        Self { kind, bytes: bytes.into(), cache_control: "public, max-age=3600" }
    }

    fn at(self, path: &str) -> Route {
        Route::new(Method::Get, path, self)
    }
}

#[rocket::async_trait]
impl Handler for File {
    /// Rocket's Shield sets `X-Content-Type-Options`, and logs a warning if it is already set.
    async fn handle<'r>(&self, _: &'r Request<'_>, _: Data<'r>) -> route::Outcome<'r> {
        let mut response = Response::build();
        response
            .header(self.kind.clone())
            .raw_header("Cache-Control", self.cache_control)
            .raw_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .raw_header("Referrer-Policy", "no-referrer")
            .sized_body(self.bytes.len(), Cursor::new(self.bytes.clone()));
        Outcome::Success(response.finalize())
    }
}
