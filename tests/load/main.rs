//! A short load test with real processes and many clients. `benches/load` has the long load tests
//! and the modules of both.
//!
//! The hosts are further processes of this program, which then run only [`serves_as_a_host`].

#[path = "../../benches/load/client.rs"]
mod client;
#[path = "../../benches/figures/mod.rs"]
mod figures;
#[path = "../../benches/load/host.rs"]
mod host;
#[expect(dead_code, reason = "the benchmark prints what it counts")]
#[path = "../../benches/load/monitor.rs"]
mod monitor;
#[path = "../../benches/load/report.rs"]
mod report;
#[path = "../../benches/load/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../benches/load/traffic.rs"]
mod traffic;
#[path = "../../benches/load/work.rs"]
mod work;

use std::time::Duration;

use client::{Client, Route};
use figures::Result;
use monitor::Monitor;
use site::{Flush, Servers, Settings};
use tokio::time::sleep;
use traffic::{Report, Traffic};
use work::{BatchOf, Filled};

/// The arguments of a host process.
const HOST_ARGUMENTS: &[&str] = &["--ignored", "--exact", "serves_as_a_host"];

#[test]
#[ignore = "not a test: a load test starts this program again as a host"]
fn serves_as_a_host() -> Result<()> {
    if host::is_wanted() { rocket::execute(host::serve()) } else { Ok(()) }
}

/// Every request gets a response, or a time to try again. Every accepted batch is completed, with
/// each item once.
#[tokio::test(flavor = "multi_thread")]
async fn serves_twenty_clients_on_two_processes_without_faults_or_lost_items() -> Result<()> {
    let traffic = Traffic {
        clients: 20,
        processes: 2,
        concurrency: 4,
        time: Duration::from_secs(10),
        think: Duration::from_millis(100),
        seed: fastrand::u64(..),
    };
    println!("seed {}", traffic.seed);

    let Report { tally, created, deadlocks, wrong, .. } = traffic.run(&Servers::redis_and_postgres().await).await?;

    assert_eq!(tally.faults(), [""; 0]);
    assert_eq!(wrong, [""; 0]);
    assert!(created > 0, "no client created a batch");
    assert_eq!(deadlocks, Some(0));
    Ok(())
}

/// Jobs of one batch used to deadlock, and each deadlock cost the `deadlock_timeout` of the server.
#[tokio::test(flavor = "multi_thread")]
async fn works_one_batch_in_two_processes_without_a_deadlock() -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    // Transactions then stay open longer and overlap.
    servers.set_flush(Flush::Slowed).await?;
    let site = servers.site()?;
    let hosts = site.start_all(2, &Settings::unlimited(8)).await?;

    BatchOf { jobs: 400, items_per_job: 20 }.time_on(&hosts[0]).await?;

    host::stop_all(hosts).await?;
    site.remove().await?;
    assert_eq!(servers.deadlocks().await?, 0);
    Ok(())
}

/// The number of round trips of the feeder depends on changes, not on the number of open batches.
#[tokio::test(flavor = "multi_thread")]
async fn needs_few_round_trips_for_the_feeder() -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let monitor = Monitor::start(servers.redis()?.port).await?;
    let site = servers.site()?;
    let host = site.start(&Settings::limited(2)).await?;
    sleep(Duration::from_secs(2)).await;

    // One check in each `feed_interval` of 10 seconds: 2 in 20 seconds, and one more as a margin.
    let idle = monitor.window(Duration::from_secs(20)).await.round_trips_of_feeder;
    assert!(idle <= 3, "an idle host: {idle} round trips in 20 s");

    // A read and an add for each batch, and an occasional check.
    let (mut client, url) = (Client::new()?, host.url(""));
    for _ in 0..10 {
        let body = BatchOf { jobs: 10, items_per_job: 10 }.body();
        client.insist(Route::Create, &url, Some(&body)).await.into_success()?;
        sleep(Duration::from_millis(300)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let created = monitor.take().round_trips_of_feeder;
    assert!(created <= 10 * 3, "10 created batches: {created} round trips");
    host.stop().await?;
    site.remove().await?;

    // The queue is full, and stays full at the default rate.
    let site = servers.site()?;
    site.fill(BatchOf { jobs: 1_000, items_per_job: 10 }, 11, Filled::Waiting).await?;
    let host = site.start(&Settings::limited(2)).await?;
    sleep(Duration::from_secs(10)).await;
    let full = monitor.window(Duration::from_secs(10)).await.round_trips_of_feeder;
    assert!(full < 20, "a full queue: {full} round trips in 10 s");
    host.stop().await?;
    site.remove().await
}
