//! An HTTP client of hosts with persistent connections, and its statistics.
//!
//! A response is sorted by what its caller can do with it:
//!
//! ```text
//!   2xx, 404, 409, …         answered    the time counts
//!   503 or 429               refused     with `Retry-After`, which the client honours, or without
//!   any other 5xx, none      failed
//! ```

#![allow(dead_code, reason = "each program uses a part of it")]

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use reqwest::{Method, Response, StatusCode, header::RETRY_AFTER};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    figures::Result,
    report::{Table, percentile},
};

/// The time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time limit of repeated requests.
const INSIST_TIMEOUT: Duration = Duration::from_secs(300);

/// The delay before the next request when the response has no `Retry-After`.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// The routes that clients call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    Create,
    List,
    Get,
    Progress,
    Items,
    ItemByCode,
    FailedJobs,
    Pause,
    Resume,
    Cancel,
    Retry,
    Ready,
}

impl Route {
    /// Whether the route only reads.
    pub const fn reads(self) -> bool {
        match self {
            Self::List
            | Self::Get
            | Self::Progress
            | Self::Items
            | Self::ItemByCode
            | Self::FailedJobs
            | Self::Ready => true,
            Self::Create | Self::Pause | Self::Resume | Self::Cancel | Self::Retry => false,
        }
    }

    const fn method(self) -> Method {
        if self.reads() { Method::GET } else { Method::POST }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "`POST /`",
            Self::List => "`GET /`",
            Self::Get => "`GET /<id>`",
            Self::Progress => "`GET /<id>/progress`",
            Self::Items => "`GET /<id>/items`",
            Self::ItemByCode => "`GET /items/<code>`",
            Self::FailedJobs => "`GET /<id>/failed-jobs`",
            Self::Pause => "`POST /<id>/pause`",
            Self::Resume => "`POST /<id>/resume`",
            Self::Cancel => "`POST /<id>/cancel`",
            Self::Retry => "`POST /<id>/retry`",
            Self::Ready => "`GET /health/ready`",
        })
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Outcome {
    /// 2xx or 4xx, with the body.
    Answered(StatusCode, Vec<u8>),
    /// 503 or 429, with `Retry-After` if the response has it.
    Refused(Option<Duration>),
    /// Another 5xx, or no response.
    Failed(String),
}

/// A client with its statistics.
pub struct Client {
    http: reqwest::Client,
    pub seen: Tally,
}

impl Client {
    pub fn new() -> Result<Self> {
        Ok(Self { http: reqwest::Client::builder().timeout(TIMEOUT).build()?, seen: Tally::default() })
    }

    /// Sends one request, and counts its outcome.
    pub async fn send(&mut self, route: Route, url: &str, body: Option<&Value>) -> Outcome {
        let mut request = self.http.request(route.method(), url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let began = Instant::now();
        let outcome = match request.send().await {
            Ok(response) => Outcome::of(response).await,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.seen.count(route, &outcome, began.elapsed());
        outcome
    }

    /// Repeats a request until it is answered, up to the time limit. Returns the last outcome.
    /// Waits between two requests as long as the response requires, or one second.
    pub async fn insist(&mut self, route: Route, url: &str, body: Option<&Value>) -> Outcome {
        let end = Instant::now() + INSIST_TIMEOUT;
        loop {
            let outcome = self.send(route, url, body).await;
            match outcome.wait() {
                Some(wait) if Instant::now() < end => sleep(wait).await,
                Some(_) | None => return outcome,
            }
        }
    }
}

impl Outcome {
    async fn of(response: Response) -> Self {
        let (status, retry_after) = (response.status(), retry_after(&response));
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Self::Refused(retry_after),
            status if status.is_server_error() => Self::Failed(format!("{status}")),
            status => match response.bytes().await {
                Ok(body) => Self::Answered(status, body.into()),
                Err(error) => Self::Failed(error.to_string()),
            },
        }
    }

    /// Returns how long to wait before the next try; `None` when the request was answered.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Answered(..) => None,
            Self::Refused(retry_after) => Some(retry_after.unwrap_or(DEFAULT_WAIT)),
            Self::Failed(_) => Some(DEFAULT_WAIT),
        }
    }

    /// Returns the body of a 2xx response, or an error with the response.
    pub fn into_success(self) -> Result<Value> {
        let other = match &self {
            Self::Answered(status, body) => format!("{status}: {}", String::from_utf8_lossy(body)),
            Self::Refused(_) | Self::Failed(_) => format!("{self:?}"),
        };
        Ok(self.success().ok_or(other)?)
    }

    /// Returns the body of a 2xx response, or `None`.
    pub fn success(self) -> Option<Value> {
        match self {
            Self::Answered(status, body) if status.is_success() => serde_json::from_slice(&body).ok(),
            Self::Answered(..) | Self::Refused(_) | Self::Failed(_) => None,
        }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The statistics of all routes.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<Route, RouteTally>);

/// The statistics of one route.
#[derive(Debug, Default)]
pub struct RouteTally {
    /// The durations of answered requests, in milliseconds.
    pub answered: Vec<f64>,
    pub refused: u64,
    pub refused_without_retry_after: u64,
    pub failed: u64,
    /// The reason of the last failure.
    pub failure: Option<String>,
}

impl Tally {
    fn count(&mut self, route: Route, outcome: &Outcome, took: Duration) {
        let seen = self.0.entry(route).or_default();
        match outcome {
            Outcome::Answered(..) => seen.answered.push(took.as_secs_f64() * 1e3),
            Outcome::Refused(Some(_)) => seen.refused += 1,
            Outcome::Refused(None) => seen.refused_without_retry_after += 1,
            Outcome::Failed(why) => {
                seen.failed += 1;
                seen.failure = Some(why.clone());
            }
        }
    }

    /// Adds the statistics of another client.
    pub fn add(&mut self, other: Self) {
        for (route, more) in other.0 {
            let seen = self.0.entry(route).or_default();
            seen.answered.extend(more.answered);
            seen.refused += more.refused;
            seen.refused_without_retry_after += more.refused_without_retry_after;
            seen.failed += more.failed;
            seen.failure = more.failure.or(seen.failure.take());
        }
    }

    /// Returns the statistics of a route.
    pub fn of(&mut self, route: Route) -> &mut RouteTally {
        self.0.entry(route).or_default()
    }

    pub fn answered(&self) -> u64 {
        self.0.values().map(|seen| seen.answered.len() as u64).sum()
    }

    /// Returns the number of refusals with `Retry-After`.
    pub fn refused(&self) -> u64 {
        self.0.values().map(|seen| seen.refused).sum()
    }

    /// Returns the faults: refusals without `Retry-After`, other 5xx responses, and no response.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.0.iter().filter(|(_, seen)| seen.failed + seen.refused_without_retry_after > 0);
        faults
            .map(|(route, seen)| {
                let RouteTally { refused_without_retry_after, failed, failure, .. } = seen;
                format!("{route}: {refused_without_retry_after} without `Retry-After`, {failed} failed, {failure:?}")
            })
            .collect()
    }

    /// Prints each route next to its statistics without load.
    pub fn print(mut self, title: &str, mut without_load: Self) {
        let columns =
            ["route", "answered", "p50, p99 ms", "without load", "refused", "without `Retry-After`", "failed"];
        let mut table = Table::new(title, &columns);
        for (route, seen) in &mut self.0 {
            let alone = without_load.of(*route);
            let RouteTally { refused, refused_without_retry_after, failed, .. } = *seen;
            let answered = seen.answered.len();
            let columns = [&seen.times(), &alone.times()];
            table.row(&[route, &answered, columns[0], columns[1], &refused, &refused_without_retry_after, &failed]);
        }
        table.print();
    }
}

impl RouteTally {
    /// Returns the median and the 99th percentile.
    pub fn times(&mut self) -> String {
        match self.answered.len() {
            0 => String::new(),
            _ => format!("{:.1}, {:.1}", percentile(&mut self.answered, 50), percentile(&mut self.answered, 99)),
        }
    }
}
