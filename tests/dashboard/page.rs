//! The page in a browser, as a user sees it.

use serde_json::{Value, json};

use crate::support::{TestResult, node::Node};

/// What an answer 401 writes to the console of every browser.
pub const UNAUTHORIZED: &str = "status of 401";

pub struct Page {
    node: Node,
}

impl Page {
    /// Starts a browser.
    pub fn new() -> TestResult<Self> {
        Ok(Self { node: Node::alone()? })
    }

    /// Ends the browser. Fails if the page wrote an error or a warning to the console, threw an
    /// exception, broke its content security policy, opened a dialog of the browser, or called
    /// another origin. Complaints that contain one of `expected` are left out.
    pub async fn close(mut self, expected: &[&str]) -> TestResult {
        let complaints = self.complaints(expected).await?;
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.node.stop().await
    }

    /// Returns what happened so far that must not, except what contains one of `expected`.
    pub async fn complaints(&mut self, expected: &[&str]) -> TestResult<Vec<String>> {
        let complaints = self.ask("complaints", json!({ "allowed": expected })).await?;
        Ok(serde_json::from_value(complaints)?)
    }

    async fn ask(&mut self, verb: &str, arguments: Value) -> TestResult<Value> {
        self.node.ask(verb, arguments).await
    }

    pub async fn go(&mut self, url: &str) -> TestResult {
        self.ask("go", json!({ "url": url })).await.map(drop)
    }

    pub async fn reload(&mut self) -> TestResult {
        self.ask("reload", json!({})).await.map(drop)
    }

    /// Goes back in the history.
    pub async fn back(&mut self) -> TestResult {
        self.evaluate("history.back()").await.map(drop)
    }

    pub async fn url(&mut self) -> TestResult<String> {
        Ok(self.ask("url", json!({})).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Enters the token that the page asks for.
    pub async fn log_in(&mut self, token: &str) -> TestResult {
        self.fill("Access token", token).await?;
        self.press("Enter").await
    }

    /// Returns the visible text.
    pub async fn text(&mut self) -> TestResult<String> {
        Ok(self.ask("text", json!({})).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows `text`.
    pub async fn until(&mut self, text: &str) -> TestResult {
        self.ask("until", json!({ "text": text })).await.map(drop)
    }

    /// Waits until the page no longer shows `text`.
    pub async fn until_gone(&mut self, text: &str) -> TestResult {
        self.ask("untilGone", json!({ "text": text })).await.map(drop)
    }

    /// Waits until the batch that is shown has a status.
    pub async fn until_status(&mut self, status: &str) -> TestResult {
        self.until_true(&format!("document.querySelector('main .chip')?.textContent === '{status}'")).await
    }

    /// Waits until an expression in the page is true.
    pub async fn until_true(&mut self, script: &str) -> TestResult {
        self.ask("untilTrue", json!({ "script": script })).await.map(drop)
    }

    /// Waits until the page has drawn what it knows, and has done what it does after that, such as
    /// to listen to keys.
    pub async fn until_drawn(&mut self) -> TestResult {
        let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))";
        self.evaluate(drawn).await.map(drop)
    }

    /// Returns the value of an expression in the page.
    pub async fn evaluate(&mut self, script: &str) -> TestResult<Value> {
        self.ask("evaluate", json!({ "script": script })).await
    }

    /// Returns the names of all elements of a role.
    pub async fn names(&mut self, role: &str) -> TestResult<Vec<String>> {
        let names = self.ask("names", json!({ "role": role })).await?;
        Ok(serde_json::from_value(names)?)
    }

    pub async fn click(&mut self, role: &str, name: &str) -> TestResult {
        self.ask("click", json!({ "role": role, "name": name })).await.map(drop)
    }

    pub async fn press_button(&mut self, name: &str) -> TestResult {
        self.click("button", name).await
    }

    /// Clicks the link whose name contains `words`.
    pub async fn click_link(&mut self, words: &str) -> TestResult {
        let names = self.names("link").await?;
        let name = names.iter().find(|name| name.contains(words)).ok_or(format!("no {words}: {names:?}"))?;
        self.click("link", name).await
    }

    /// Replaces the content of the field that is labelled `name`.
    pub async fn fill(&mut self, name: &str, text: &str) -> TestResult {
        self.ask("fill", json!({ "name": name, "text": text })).await.map(drop)
    }

    /// Types into what has the focus.
    pub async fn type_text(&mut self, text: &str) -> TestResult {
        self.ask("type", json!({ "text": text })).await.map(drop)
    }

    /// Presses a key, such as `Enter` or `Shift+Tab`.
    pub async fn press(&mut self, key: &str) -> TestResult {
        self.ask("press", json!({ "key": key })).await.map(drop)
    }

    /// Returns the role and the name of what has the focus.
    pub async fn focused(&mut self) -> TestResult<(String, String)> {
        let focused = self.ask("focused", json!({})).await?;
        let word = |key: &str| focused[key].as_str().unwrap_or_default().to_owned();
        Ok((word("role"), word("name")))
    }

    /// Presses Tab until an element has the focus whose name contains `name`.
    pub async fn tab_to(&mut self, role: &str, name: &str) -> TestResult {
        let mut passed = Vec::new();
        for _ in 0..200 {
            let focused = self.focused().await?;
            if focused.0 == role && focused.1.contains(name) {
                return Ok(());
            }
            passed.push(focused);
            self.press("Tab").await?;
        }
        Err(format!("Tab does not reach the {role} {name}, but {passed:?}").into())
    }

    pub async fn viewport(&mut self, width: u32, height: u32) -> TestResult {
        self.ask("viewport", json!({ "width": width, "height": height })).await.map(drop)
    }

    /// Sets a preference of the user, such as `prefers-color-scheme` to `dark`.
    pub async fn prefer(&mut self, feature: &str, value: &str) -> TestResult {
        let features = json!([{ "name": feature, "value": value }]);
        self.ask("emulate", json!({ "features": features })).await.map(drop)
    }

    /// Asserts that the page is not wider than the screen.
    pub async fn fits(&mut self, what: &str) -> TestResult {
        let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(self.evaluate(overflow).await?, 0, "{what} is wider than the screen");
        Ok(())
    }

    /// Asserts that axe-core finds no serious and no critical problem for people with disabilities.
    pub async fn is_accessible(&mut self, what: &str) -> TestResult {
        let found = self.ask("inspect", json!({})).await?;
        if found == json!([]) { Ok(()) } else { Err(format!("{what}: {found:#}").into()) }
    }

    /// Writes what the browser shows to a file.
    pub async fn picture(&mut self, file: &str) -> TestResult {
        let file = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        self.ask("picture", json!({ "file": file })).await.map(drop)
    }

    /// Sets a cookie for all paths of a host.
    pub async fn set_cookie(&mut self, name: &str, value: &str, domain: &str) -> TestResult {
        let cookie = json!({ "name": name, "value": value, "domain": domain, "path": "/" });
        self.ask("cookie", json!({ "cookie": cookie })).await.map(drop)
    }

    /// Returns the seconds of the processor that the page's scripts took so far.
    pub async fn script_time(&mut self) -> TestResult<f64> {
        Ok(self.ask("scriptTime", json!({})).await?.as_f64().ok_or("no number")?)
    }

    /// Returns how many events of streams the page got so far.
    pub async fn events(&mut self) -> TestResult<u64> {
        Ok(self.ask("events", json!({})).await?.as_u64().ok_or("no number")?)
    }

    /// Returns `url`, `status` and the transferred `bytes` of each response so far.
    pub async fn responses(&mut self) -> TestResult<Vec<Value>> {
        Ok(serde_json::from_value(self.ask("responses", json!({})).await?)?)
    }

    /// Starts a reverse proxy that serves an app below `prefix`. Returns the app's address there.
    pub async fn proxy(&mut self, to: &str, prefix: &str) -> TestResult<String> {
        let url = self.ask("proxy", json!({ "to": to, "prefix": prefix })).await?;
        Ok(url.as_str().ok_or("no address")?.to_owned())
    }
}
