//! A client of Server-Sent Events.

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::{TestResult, wait::WAIT_TIMEOUT};

/// An event of a stream.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

/// A client that reads events.
pub struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// Requests a stream with the token of the example host.
    pub async fn of(url: String) -> TestResult<Self> {
        let request = reqwest::Client::new().get(url).bearer_auth("let-me-in").header("Last-Event-ID", "3");
        Ok(Self { response: request.send().await?.error_for_status()?, text: String::new() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next event, or `None` at the end of the stream.
    pub async fn next(&mut self) -> TestResult<Option<Event>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event = Event::parse(&self.text[..end])?;
                self.text.drain(..end + 2);
                if let Some(event) = event {
                    return Ok(Some(event));
                }
                continue;
            }
            match timeout(WAIT_TIMEOUT, self.response.chunk()).await?? {
                Some(chunk) => self.text += std::str::from_utf8(&chunk)?,
                None => return Ok(None),
            }
        }
    }

    /// All events to the end of the stream.
    pub async fn rest(mut self) -> TestResult<Vec<Event>> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await? {
            all.push(event);
        }
        Ok(all)
    }
}

impl Event {
    /// `None` for a block without data: a comment, or the time after which to connect again.
    fn parse(block: &str) -> TestResult<Option<Self>> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let Some(data) = field("data") else { return Ok(None) };
        let [name, id] = ["event", "id"].map(|name| field(name).unwrap_or_default().to_owned());
        Ok(Some(Self { name, id, data: serde_json::from_str(data)? }))
    }
}
