//! Traffic: many clients that create, read, list, look up and control batches, while the hosts work
//! on them.
//!
//! Each client has batches of its own and sends one request after the other to any of the hosts,
//! half of them reads. It pauses between requests, and waits when a request is refused. At the end,
//! each client resumes its paused batches, and every batch that was not cancelled has to finish
//! with all its items.

#![allow(dead_code, reason = "each program uses a part of it")]

use std::{collections::HashSet, iter::repeat_n, sync::Arc, time::Duration};

use fastrand::Rng;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    client::{Client, Outcome, Route, Tally},
    figures::Result,
    host::{Host, stop_all},
    site::{Servers, Settings},
    work::{BatchOf, all_batches},
};

/// The time limit for all batches to finish after the clients are done.
const FINISH_TIMEOUT: Duration = Duration::from_secs(300);

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Number of codes that a client keeps for look-ups.
const CODES: usize = 100;

/// Number of calls of each route in a hundred: half of them are reads.
const SHARES: [(Route, usize); 11] = [
    (Route::List, 8),
    (Route::Get, 8),
    (Route::Progress, 12),
    (Route::Items, 10),
    (Route::ItemByCode, 10),
    (Route::FailedJobs, 2),
    (Route::Create, 6),
    (Route::Pause, 12),
    (Route::Resume, 20),
    (Route::Cancel, 6),
    (Route::Retry, 6),
];

/// The clients, and the hosts that they call.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub clients: usize,
    pub processes: u32,
    /// Number of jobs at a time in a process.
    pub concurrency: u32,
    pub time: Duration,
    /// The mean pause of a client between two requests.
    pub think: Duration,
    pub seed: u64,
}

/// The statistics of the clients, and the state of the batches.
pub struct Report {
    pub tally: Tally,
    /// Items per second, until the clients were done.
    pub items_per_second: f64,
    pub created: usize,
    /// Deadlocks in PostgreSQL, if the ledger is there.
    pub deadlocks: Option<i64>,
    /// The errors in batches after everything has finished.
    pub wrong: Vec<String>,
}

impl Traffic {
    /// Runs the clients with hosts on a new ledger of `servers`.
    pub async fn run(self, servers: &Servers) -> Result<Report> {
        let site = servers.site()?;
        let before = servers.deadlocks().await.ok();
        let hosts = Arc::new(site.start_all(self.processes, &Settings::unlimited(self.concurrency)).await?);
        let began = Instant::now();
        let (tally, cancelled) = self.drive(&hosts).await?;
        let items_per_second = items(&all_batches(&hosts[0]).await?) as f64 / began.elapsed().as_secs_f64();
        let batches = wait_until_all_finished(&hosts[0]).await?;
        stop_all(Arc::into_inner(hosts).ok_or("a client still runs")?).await?;
        let mut wrong: Vec<_> = batches.iter().filter_map(|batch| complaint(batch, &cancelled)).collect();
        wrong.extend(site.count_items().await?.and_then(|rows| miscount(&batches, rows)));
        site.remove().await?;
        let after = servers.deadlocks().await.ok();
        let deadlocks = before.zip(after).map(|(before, after)| after - before);
        Ok(Report { tally, items_per_second, created: batches.len(), deadlocks, wrong })
    }

    /// Runs all clients. Returns their statistics and the batches that they cancelled or may have
    /// cancelled.
    async fn drive(self, hosts: &Arc<Vec<Host>>) -> Result<(Tally, HashSet<i64>)> {
        let end = Instant::now() + self.time;
        let mut running = JoinSet::new();
        for number in 0..self.clients {
            let user = User::new(hosts.clone(), self.seed.wrapping_add(number as u64))?;
            running.spawn(user.run(end, self.think));
        }
        let (mut tally, mut cancelled) = (Tally::default(), HashSet::new());
        while let Some(user) = running.join_next().await {
            let user = user??;
            tally.add(user.client.seen);
            cancelled.extend(user.cancelled);
        }
        Ok((tally, cancelled))
    }
}

/// Returns the error in a batch, if there is one.
fn complaint(batch: &Value, cancelled: &HashSet<i64>) -> Option<String> {
    let complete = batch["status"] == "completed" && batch["itemsCreated"] == batch["quantity"];
    let given_up =
        batch["status"] == "cancelled" && batch["batchId"].as_i64().is_some_and(|id| cancelled.contains(&id));
    (!complete && !given_up).then(|| batch.to_string())
}

/// Whether the rows of the items differ from the counts of the batches.
fn miscount(batches: &[Value], rows: u64) -> Option<String> {
    let items = items(batches);
    (items != rows).then(|| format!("the batches count {items} items, but the table has {rows}"))
}

fn items(batches: &[Value]) -> u64 {
    batches.iter().filter_map(|batch| batch["itemsCreated"].as_u64()).sum()
}

async fn wait_until_all_finished(host: &Host) -> Result<Vec<Value>> {
    let end = Instant::now() + FINISH_TIMEOUT;
    loop {
        let batches = all_batches(host).await?;
        let Some(open) = batches.iter().find(|batch| batch["finishedAt"].is_null()) else { return Ok(batches) };
        if Instant::now() > end {
            return Err(format!("still open: {open}\n{}", host.log()).into());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// One client with its batches.
struct User {
    client: Client,
    hosts: Arc<Vec<Host>>,
    rng: Rng,
    batches: Vec<i64>,
    paused: HashSet<i64>,
    cancelled: HashSet<i64>,
    codes: Vec<String>,
}

impl User {
    fn new(hosts: Arc<Vec<Host>>, seed: u64) -> Result<Self> {
        Ok(Self {
            client: Client::new()?,
            hosts,
            rng: Rng::with_seed(seed),
            batches: Vec::new(),
            paused: HashSet::new(),
            cancelled: HashSet::new(),
            codes: Vec::new(),
        })
    }

    /// Sends requests until `end`, then resumes paused batches.
    async fn run(mut self, end: Instant, think: Duration) -> Result<Self> {
        while Instant::now() < end {
            let route = self.choose();
            let wait = self.call(route).await.unwrap_or_else(|| think.mul_f64(2.0 * self.rng.f64()));
            sleep_until(end.min(Instant::now() + wait)).await;
        }
        self.resume_all().await;
        Ok(self)
    }

    fn choose(&mut self) -> Route {
        let all: usize = SHARES.iter().map(|(_, share)| share).sum();
        let index = self.rng.usize(..all);
        let mut shares = SHARES.iter().flat_map(|(route, share)| repeat_n(*route, *share));
        shares.nth(index).expect("it is below the sum of the shares")
    }

    /// Sends one request, and records its effect. Returns how long to wait before the next request.
    async fn call(&mut self, route: Route) -> Option<Duration> {
        let batch = self.rng.choice(&self.batches).copied();
        let (path, body) = match (route, batch) {
            (Route::List, _) => ("?limit=100".to_owned(), None),
            // A client without a batch creates one first.
            (Route::Create, _) | (_, None) => return self.create().await,
            (Route::ItemByCode, Some(batch)) => match self.rng.choice(&self.codes) {
                Some(code) => (format!("/items/{code}"), None),
                None => return self.read_items(batch).await,
            },
            (Route::Items, Some(batch)) => return self.read_items(batch).await,
            (Route::Get, Some(batch)) => (format!("/{batch}"), None::<Value>),
            (Route::Progress, Some(batch)) => (format!("/{batch}/progress"), None),
            (Route::FailedJobs, Some(batch)) => (format!("/{batch}/failed-jobs"), None),
            (Route::Retry, Some(batch)) => (format!("/{batch}/retry"), None),
            (Route::Pause | Route::Resume | Route::Cancel, Some(batch)) => return self.control(route, batch).await,
            (Route::Ready, _) => ("/health/ready".to_owned(), None),
        };
        let url = self.url(&path);
        self.client.send(route, &url, body.as_ref()).await.wait()
    }

    async fn create(&mut self) -> Option<Duration> {
        let batch = BatchOf { jobs: self.rng.u64(1..=10), items_per_job: 20 };
        let url = self.url("");
        let outcome = self.client.send(Route::Create, &url, Some(&batch.body())).await;
        let wait = outcome.wait();
        self.batches.extend(outcome.success().and_then(|created| created["batchId"].as_i64()));
        wait
    }

    async fn read_items(&mut self, batch: i64) -> Option<Duration> {
        let url = self.url(&format!("/{batch}/items?limit=100"));
        let outcome = self.client.send(Route::Items, &url, None).await;
        let wait = outcome.wait();
        let page = outcome.success().unwrap_or_default();
        let codes = page["items"].as_array().into_iter().flatten().filter_map(|item| item["code"].as_str());
        self.codes.extend(codes.map(ToOwned::to_owned));
        self.codes.drain(..self.codes.len().saturating_sub(CODES));
        wait
    }

    /// Pauses, resumes or cancels. Without a response, the change may have taken effect.
    async fn control(&mut self, route: Route, batch: i64) -> Option<Duration> {
        let action = match route {
            Route::Pause => "pause",
            Route::Cancel => "cancel",
            _ => "resume",
        };
        let url = self.url(&format!("/{batch}/{action}"));
        let outcome = self.client.send(route, &url, None).await;
        let refused = matches!(&outcome, Outcome::Answered(status, _) if !status.is_success());
        match route {
            _ if refused => {}
            Route::Pause => drop(self.paused.insert(batch)),
            Route::Cancel => drop(self.cancelled.insert(batch)),
            _ => drop(self.paused.remove(&batch)),
        }
        outcome.wait()
    }

    async fn resume_all(&mut self) {
        for batch in std::mem::take(&mut self.paused) {
            let url = self.url(&format!("/{batch}/resume"));
            self.client.insist(Route::Resume, &url, None).await;
        }
    }

    /// Returns the URL of a path on any of the hosts.
    fn url(&mut self, path: &str) -> String {
        self.hosts[self.rng.usize(..self.hosts.len())].url(path)
    }
}
