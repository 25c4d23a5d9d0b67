//! Files that are compiled into the program, as routes.
//!
//! They contain no data and need no credentials. Each has an `ETag` of its bytes, so that a browser
//! asks again cheaply, and a content security policy that restricts it to its own host.

use std::{
    borrow::Cow,
    io::Cursor,
    sync::{Arc, OnceLock},
};

use data_encoding::HEXLOWER;
use rocket::{
    Data, Request, Response, Route,
    http::{ContentType, Method, Status},
    outcome::Outcome,
    route::{self, Handler},
};
use sha2::{Digest as _, Sha256};

/// The content security policy of all files: scripts, styles and requests of their own host only.
/// The style sheet of Swagger UI contains images as `data:` URLs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A browser stores the file and asks each time whether it is still current.
const ASK_EACH_TIME: &str = "no-cache";

/// A file that is compiled into the program.
#[derive(Clone)]
pub(super) struct File {
    kind: ContentType,
    bytes: Cow<'static, [u8]>,
    /// The value of `Cache-Control`.
    cache_control: &'static str,
    /// Computed with the first request, since most processes are never asked.
    etag: Arc<OnceLock<String>>,
}

impl File {
    /// A file whose content depends on the settings.
    pub(super) fn generated(kind: ContentType, text: String) -> Self {
        Self::new(kind, text.into_bytes().into(), ASK_EACH_TIME)
    }

    /// A file that changes with the program, and is then to be seen at once.
    #[cfg(feature = "dashboard")]
    pub(super) fn revalidated(kind: ContentType, bytes: &'static [u8]) -> Self {
        Self::new(kind, bytes.into(), ASK_EACH_TIME)
    }

    /// A large file that only changes with the program.
    #[cfg(feature = "swagger-ui")]
    pub(super) fn constant(kind: ContentType, bytes: &'static [u8]) -> Self {
        Self::new(kind, bytes.into(), "public, max-age=3600")
    }

    fn new(kind: ContentType, bytes: Cow<'static, [u8]>, cache_control: &'static str) -> Self {
        Self { kind, bytes, cache_control, etag: Arc::default() }
    }

    /// The route of the file at `path`, below the base.
    pub(super) fn at(self, path: &str) -> Route {
        Route::new(Method::Get, path, self)
    }

    fn etag(&self) -> &str {
        self.etag.get_or_init(|| format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&self.bytes))))
    }

    fn response(&self, is_known: bool) -> Response<'static> {
        let mut response = Response::build();
        response
            .raw_header("Cache-Control", self.cache_control)
            .raw_header("ETag", self.etag().to_owned())
            .raw_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            .raw_header("Referrer-Policy", "no-referrer");
        if is_known {
            return response.status(Status::NotModified).finalize();
        }
        response.header(self.kind.clone()).sized_body(self.bytes.len(), Cursor::new(self.bytes.clone())).finalize()
    }
}

#[rocket::async_trait]
impl Handler for File {
    /// Rocket's Shield sets `X-Content-Type-Options`, and logs a warning if it is already set.
    async fn handle<'r>(&self, request: &'r Request<'_>, _: Data<'r>) -> route::Outcome<'r> {
        let known = request.headers().get("If-None-Match");
        Outcome::Success(self.response(known.into_iter().any(|known| lists(known, self.etag()))))
    }
}

/// Whether the value `known` of an `If-None-Match` lists `etag`. Proxies that compress a response
/// mark its tag as weak; such a tag matches too (RFC 9110, 13.1.2).
fn lists(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_file_is_found_among_all_tags_of_the_header() {
        let table = [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ];

        for (known, expected) in table {
            assert_eq!(lists(known, "\"a\""), expected, "{known}");
        }
    }
}
