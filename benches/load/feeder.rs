//! `feeder`: the commands that a host sends to Redis, separately for the feeder and the workers.
//!
//! See `monitor` for how they are distinguished.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    Scope,
    client::{Client, Route},
    figures::Result,
    host::Host,
    monitor::Monitor,
    site::{Servers, Settings, Site},
    work::{BatchOf, Filled},
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// The time after the last create in which its effects are counted.
const SETTLE: Duration = Duration::from_secs(2);

/// About as long as the default `feed_interval`.
const WINDOW: Duration = Duration::from_secs(10);

const LARGE: BatchOf = BatchOf { jobs: 1_000, items_per_job: 10 };
const SMALL: BatchOf = BatchOf { jobs: 10, items_per_job: 10 };

pub async fn run(scope: Scope) -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let monitor = Monitor::start(servers.redis()?.port).await?;
    in_an_empty_ledger(servers.site()?, &monitor, scope).await?;
    beside_open_batches(servers.site()?, &monitor, scope).await
}

async fn in_an_empty_ledger(site: Site<'_>, monitor: &Monitor, scope: Scope) -> Result<()> {
    let host = site.start(&Settings::limited(CONCURRENCY)).await?;
    sleep(SETTLE).await;
    let idle = scope.pick(Duration::from_secs(5), Duration::from_secs(60));
    monitor.window(idle).await.print(&format!("An idle host, {} s", idle.as_secs()), 1.0);
    per_created_batch(&host, monitor, scope.pick(5, 20)).await?;
    host.stop().await?;
    site.remove().await
}

async fn per_created_batch(host: &Host, monitor: &Monitor, created: u32) -> Result<()> {
    let (mut client, url, body) = (Client::new()?, host.url(""), SMALL.body());
    monitor.clear();
    for _ in 0..created {
        client.insist(Route::Create, &url, Some(&body)).await.into_success()?;
        sleep(Duration::from_millis(500)).await;
    }
    sleep(SETTLE).await;
    monitor.take().print(&format!("Per created batch of {SMALL}, {created} of them"), f64::from(created));
    Ok(())
}

/// The batches exist before the host starts, so each has its share of the queue, and the queue is
/// full.
async fn beside_open_batches(site: Site<'_>, monitor: &Monitor, scope: Scope) -> Result<()> {
    let open = scope.pick(11, 15);
    site.fill(LARGE, open, Filled::Waiting).await?;
    let host = site.start(&Settings::limited(CONCURRENCY)).await?;
    sleep(WINDOW).await;
    for _ in 0..scope.rounds {
        let counts = monitor.window(WINDOW).await;
        counts.print(&format!("{open} open batches of {LARGE}, the default rate limit, {} s", WINDOW.as_secs()), 1.0);
    }
    host.stop().await?;
    site.remove().await
}
