//! Serves the OpenAPI document as a file, and a page that shows it.
//!
//! ```text
//!   <base>/openapi.json
//!   <base>/docs           page.html ──▶ docs/page.js ──▶ Swagger UI ──▶ openapi.json
//! ```
//!
//! These files contain no data, so they need no credentials; the routes that the page calls do.

use rocket::{Route, http::ContentType};

use super::{document::document, files::File, rights::Security};
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
