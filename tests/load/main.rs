//! A short load test: real processes, many clients, everything at once. `benches/load` has the long
//! ones, and the modules of both.
//!
//! The hosts are this program again, which then runs nothing but [`serves_as_a_host`].

#[path = "../../benches/load/client.rs"]
mod client;
#[path = "../../benches/figures/mod.rs"]
mod figures;
#[path = "../../benches/load/host.rs"]
mod host;
#[expect(dead_code, reason = "the benchmark prints what it counts")]
#[path = "../../benches/load/monitor.rs"]
mod monitor;
#[expect(dead_code, reason = "the tests of the queue use all of it")]
#[path = "../queue/server.rs"]
mod redis_server;
#[path = "../../benches/load/report.rs"]
mod report;
#[path = "../servers/postgres.rs"]
mod servers;
#[path = "../../benches/load/site.rs"]
mod site;
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

/// What a host process is started with, besides its environment.
const HOST_ARGUMENTS: &[&str] = &["--ignored", "--exact", "serves_as_a_host"];

#[test]
#[ignore = "it is no test: a load test starts this program again, to be a host"]
fn serves_as_a_host() -> Result<()> {
    if host::is_wanted() { rocket::execute(host::serve()) } else { Ok(()) }
}

/// A caller is answered, or told when to come back; and what was accepted is made, each item once.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_clients_on_two_processes_lose_nothing_and_see_no_fault() -> Result<()> {
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

/// Jobs of one batch used to wait for each other's locks in a circle, and each victim cost the
/// server's `deadlock_timeout`.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_work_one_batch_without_a_deadlock() -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    // So that transactions are open for longer, and meet.
    servers.set_flush(Flush::Slowed).await?;
    let site = servers.site()?;
    let hosts = site.start_all(2, &Settings::unlimited(8)).await?;

    BatchOf { jobs: 400, items_per_job: 20 }.time_on(&hosts[0]).await?;

    host::stop_all(hosts).await?;
    site.remove().await?;
    assert_eq!(servers.deadlocks().await?, 0);
    Ok(())
}

/// What the feeder spends in Redis follows what happens, and not what is open.
#[tokio::test(flavor = "multi_thread")]
async fn the_feeder_asks_redis_for_little() -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let monitor = Monitor::start(servers.redis()?.port).await?;
    let site = servers.site()?;
    let host = site.start(&Settings::limited(2)).await?;
    sleep(Duration::from_secs(2)).await;

    // A check of the queue's level in each `feed_interval`, 10 seconds by default: 6 in a minute,
    // with a margin of one.
    let idle = monitor.window(Duration::from_secs(20)).await.round_trips_of_feeder;
    assert!(idle <= 3, "an idle host: {idle} round trips in 20 s");

    // A look and an add for each batch, and a check in between now and then.
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

    // The queue is full, and stays so at the default rate.
    let site = servers.site()?;
    site.fill(BatchOf { jobs: 1_000, items_per_job: 10 }, 11, Filled::Waiting).await?;
    let host = site.start(&Settings::limited(2)).await?;
    sleep(Duration::from_secs(10)).await;
    let full = monitor.window(Duration::from_secs(10)).await.round_trips_of_feeder;
    assert!(full < 20, "a full queue: {full} round trips in 10 s");
    host.stop().await?;
    site.remove().await
}
