//! `watch`: many event streams of one batch, while it runs.
//!
//! The watchers are clients of this program, on the same processors as the host.

use std::time::Duration;

use reqwest::Response;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    Scope,
    figures::{Result, median},
    host::Host,
    report::{Table, spread},
    site::{Servers, Settings},
    work::BatchOf,
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// The time limit of a stream.
const STREAM_TIMEOUT: Duration = Duration::from_secs(300);

/// What happened while a batch ran.
struct Run {
    items_per_second: f64,
    /// The memory of the host for each watcher, in bytes.
    bytes_per_watcher: f64,
    /// Watchers that got a snapshot and the end.
    complete: usize,
    events: usize,
}

pub async fn run(scope: Scope) -> Result<()> {
    let (batch, watchers) = (BatchOf { jobs: scope.pick(500, 20_000), items_per_job: 50 }, scope.pick(50, 2_000));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (mut memory, mut complete, mut events) = (Vec::new(), usize::MAX, Vec::new());
    for _ in 0..scope.rounds {
        without.push(measure(batch, 0).await?.items_per_second);
        let run = measure(batch, watchers).await?;
        with.push(run.items_per_second);
        memory.push(run.bytes_per_watcher);
        complete = complete.min(run.complete);
        events.push(run.events as f64);
    }
    let ratio = median(&mut with) / median(&mut without);
    let mut table = Table::new(
        format!("One batch of {batch}, SQLite, 1 process x {CONCURRENCY}"),
        &["watchers", "items/s", "to none", "got snapshot and end", "events", "kB of the host for each"],
    );
    table.row(&[&0, &spread(&mut without), &"1.00", &"", &"", &""]);
    let kilobytes = format!("{:.0}", median(&mut memory) / 1_000.0);
    table.row(&[&watchers, &spread(&mut with), &format!("{ratio:.2}"), &complete, &spread(&mut events), &kilobytes]);
    table.print();
    Ok(())
}

async fn measure(batch: BatchOf, watchers: usize) -> Result<Run> {
    let servers = Servers::none();
    let site = servers.site()?;
    let settings = Settings::unlimited(CONCURRENCY).with("MAX_JOBS_PER_BATCH", batch.jobs);
    let host = site.start(&settings).await?;
    // The batch waits, paused, until all of its watchers have come.
    let http = reqwest::Client::new();
    let created = http.post(host.url("")).json(&batch.body()).send().await?.error_for_status()?;
    let id = created.json::<serde_json::Value>().await?["batchId"].as_i64().ok_or("no id")?;
    http.post(host.url(&format!("/{id}/pause"))).send().await?.error_for_status()?;
    let before = resident_bytes(&host)?;
    let mut streams = JoinSet::new();
    for _ in 0..watchers {
        // A client of its own, and so a connection of its own.
        let response = reqwest::Client::new().get(host.url(&format!("/{id}/events"))).send().await?;
        streams.spawn(timeout(STREAM_TIMEOUT, events(response.error_for_status()?)));
    }
    let bytes = resident_bytes(&host)?.saturating_sub(before);
    let left = http.get(host.url(&format!("/{id}"))).send().await?.json::<serde_json::Value>().await?;
    http.post(host.url(&format!("/{id}/resume"))).send().await?.error_for_status()?;
    let resumed = std::time::Instant::now();
    let finished = crate::work::wait_until_finished(&http, &host, id).await?;
    let took = resumed.elapsed();
    let items =
        finished["itemsCreated"].as_f64().unwrap_or_default() - left["itemsCreated"].as_f64().unwrap_or_default();
    let counts =
        streams.join_all().await.into_iter().map(|counts| counts.map_err(Into::into).and_then(|counts| counts));
    let counts: Vec<(usize, bool)> = counts.collect::<Result<_>>()?;
    host.stop().await?;
    site.remove().await?;
    Ok(Run {
        items_per_second: items / took.as_secs_f64(),
        bytes_per_watcher: bytes as f64 / watchers.max(1) as f64,
        complete: counts.iter().filter(|(events, is_finished)| *events > 1 && *is_finished).count(),
        events: counts.iter().map(|(events, _)| events).sum(),
    })
}

/// Reads a stream to its end. Returns the number of its events, and whether the last one was the
/// end of the batch.
async fn events(mut response: Response) -> Result<(usize, bool)> {
    let (mut events, mut last) = (0, Vec::new());
    while let Some(chunk) = response.chunk().await? {
        events += chunk.windows(6).filter(|word| word == b"event:").count();
        last.extend_from_slice(&chunk);
        last.drain(..last.len().saturating_sub(2_000));
    }
    Ok((events, last.windows(14).any(|word| word == b"event:finished")))
}

/// The memory of a host that is in use.
fn resident_bytes(host: &Host) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}
