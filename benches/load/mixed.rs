//! `mixed`: many clients that do everything at once, and what each route answers, beside what one
//! client alone sees.

use std::time::Duration;

use crate::{
    Scope,
    figures::Result,
    site::Servers,
    traffic::{Report, Traffic},
};

pub async fn run(scope: Scope) -> Result<()> {
    let traffic = Traffic {
        clients: scope.pick(20, 100),
        processes: 2,
        concurrency: 2,
        time: scope.pick(Duration::from_secs(5), Duration::from_secs(60)),
        think: Duration::from_millis(100),
        seed: fastrand::u64(..),
    };
    println!("seed {}\n", traffic.seed);
    compare("Redis and PostgreSQL", traffic, &Servers::redis_and_postgres().await).await?;
    compare("SQLite, the queue in the process", Traffic { processes: 1, ..traffic }, &Servers::none()).await
}

async fn compare(name: &str, traffic: Traffic, servers: &Servers) -> Result<()> {
    let alone = Traffic { clients: 1, time: traffic.time / 4, think: Duration::ZERO, ..traffic };
    let alone = alone.run(servers).await?;
    let report = traffic.run(servers).await?;
    let Traffic { clients, processes, concurrency, time, .. } = traffic;
    let seconds = time.as_secs();
    print(&format!("{clients} clients for {seconds} s, {name}, {processes} x {concurrency}"), report, alone);
    Ok(())
}

fn print(title: &str, report: Report, alone: Report) {
    let Report { tally, items_per_second, created, deadlocks, wrong } = report;
    let (answered, faults) = (tally.answered(), tally.faults());
    tally.print(title, alone.tally);
    println!("{answered} answers, {created} batches, {items_per_second:.0} items/s until the clients were done");
    if let Some(deadlocks) = deadlocks {
        println!("{deadlocks} deadlocks");
    }
    for fault in faults.into_iter().chain(wrong) {
        println!("WRONG: {fault}");
    }
    println!();
}
