//! The live page in headless Chromium. Each test has a shop in a process of its own, and a browser.
//!
//! ```text
//!   shop.rs        the shop: its callers, and an item writer that refuses what a test names
//!   page.rs        what a user does with the page, and what must not happen meanwhile
//!   actions.rs     create, pause, resume, cancel
//!   failures.rs    groups of failures, and the retry of one
//!   links.rs       the URL, and the search box
//!   callers.rs     tokens, cookies, and a caller who may only look
//!   outage.rs      the server is killed under the page
//!   hostile.rs     data with markup stays text
//!   access.rs      axe-core, and everything by keyboard
//!   watched.rs     the workers, and the history of a batch
//!   speed.rs       time of scripts and size of the page
//!   mounted.rs     other bases, and behind a reverse proxy
//!   pictures.rs    the screenshots of the documentation
//! ```
//!
//! Every test closes its page, which fails if the page complained about anything, see
//! [`page::Page::close`]. `tests/run` installs Node, its packages and Chromium.

mod access;
mod actions;
mod callers;
mod failures;
mod hostile;
mod links;
mod mounted;
mod outage;
mod page;
mod pictures;
mod speed;
#[path = "../support/mod.rs"]
mod support;
mod watched;

use crate::{
    page::{Page, UNAUTHORIZED},
    support::{
        TestResult,
        host::{Home, Host},
    },
};

const MANAGER: &str = "let-me-in";
const VISITOR: &str = "only-look";

/// The setting that makes a batch run for as long as a test needs.
const RATE_LIMIT: &str = "ROCKET_BATCH__GENERATE__RATE_LIMIT";

/// A shop, and its page in a browser.
struct Fixture {
    page: Page,
    shop: Host,
    home: Home,
}

impl Fixture {
    /// Starts a shop in a home that `change` has changed, and a browser in which the manager is
    /// logged in.
    async fn start_with(change: impl FnOnce(Home) -> Home) -> TestResult<Self> {
        let mut fixture = Self::start_logged_out(change).await?;
        fixture.page.log_in(MANAGER).await?;
        fixture.page.until("New batch").await?;
        Ok(fixture)
    }

    async fn start_logged_out(change: impl FnOnce(Home) -> Home) -> TestResult<Self> {
        let mut fixture = Self::start_without_page(change).await?;
        fixture.open("").await?;
        Ok(fixture)
    }

    async fn start_without_page(change: impl FnOnce(Home) -> Home) -> TestResult<Self> {
        let home = change(Home::new()?);
        let (page, shop) = (Page::new()?, home.start_example("dashboard-shop", &[]).await?);
        Ok(Self { page, shop, home })
    }

    /// Opens the page at a place, such as `batch=1`.
    async fn open(&mut self, place: &str) -> TestResult {
        let url = self.shop.url(&self.shop.route("/dashboard"));
        self.page.go(&format!("{url}#{place}")).await
    }

    /// Ends all. Fails on every complaint of the page except the expected ones and a refusal of the
    /// first request, which has no token.
    async fn finish(self, expected: &[&str]) -> TestResult {
        self.page.close(&[&[UNAUTHORIZED], expected].concat()).await?;
        assert_eq!(self.shop.terminate().await?.code(), Some(0));
        Ok(())
    }
}
