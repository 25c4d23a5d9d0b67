//! `local`: the queue in the process, with 1 to 16 jobs at a time, on both ledgers.
//!
//! More at a time need not be faster, since SQLite has one writer. It must not be slower.

use crate::{
    Scope,
    figures::{Result, median},
    report::{Table, spread},
    site::{Servers, Settings},
    work::BatchOf,
};

const AT_A_TIME: [u32; 5] = [1, 2, 4, 8, 16];

pub async fn run(scope: Scope) -> Result<()> {
    let batch = BatchOf { jobs: scope.pick(200, 4_000), items_per_job: 50 };
    for (name, servers) in [("SQLite", Servers::none()), ("PostgreSQL", Servers::postgres())] {
        measure(&servers, name, scope, batch).await?;
    }
    Ok(())
}

async fn measure(servers: &Servers, name: &str, scope: Scope, batch: BatchOf) -> Result<()> {
    let mut figures = AT_A_TIME.map(|_| Vec::new());
    for _ in 0..scope.rounds {
        for (concurrency, figures) in AT_A_TIME.iter().zip(&mut figures) {
            figures.push(items_per_second(servers, *concurrency, batch).await?);
        }
    }
    let title = format!("One batch of {batch}, the queue in the process, {name}");
    let mut table = Table::new(title, &["at a time", "items/s", "to the row before"]);
    let mut before = None;
    for (concurrency, mut figures) in AT_A_TIME.iter().zip(figures) {
        let now = median(&mut figures);
        let ratio = before.replace(now).map_or_else(String::new, |before| format!("{:.2}", now / before));
        table.row(&[concurrency, &spread(&mut figures), &ratio]);
    }
    table.print();
    Ok(())
}

async fn items_per_second(servers: &Servers, concurrency: u32, batch: BatchOf) -> Result<f64> {
    let site = servers.site()?;
    let settings = Settings::unlimited(concurrency).with("MAX_JOBS_PER_BATCH", batch.jobs);
    let host = site.start(&settings).await?;
    let took = batch.time_on(&host).await?;
    host.stop().await?;
    site.remove().await?;
    Ok(batch.items() as f64 / took.as_secs_f64())
}
