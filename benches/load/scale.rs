//! `scale`: one large batch, worked by one process and by four, each with a concurrency of 1 to 16.
//!
//! More workers must be faster. With a slow flush the gain must be larger, because one flush
//! commits the transactions of several workers.

use std::time::Duration;

use crate::{
    Scope,
    figures::{Result, median},
    host::stop_all,
    report::{Table, spread},
    site::{Flush, Servers, Settings},
    work::BatchOf,
};

/// A number of processes, and the concurrency of each.
#[derive(Debug, Clone, Copy)]
struct Workers {
    processes: u32,
    concurrency: u32,
}

const SMALL: &[Workers] = &[workers(1, 2), workers(4, 4)];

const FULL: &[Workers] = &[
    workers(1, 2),
    workers(1, 1),
    workers(1, 4),
    workers(1, 8),
    workers(1, 16),
    workers(4, 1),
    workers(4, 2),
    workers(4, 4),
    workers(4, 8),
    workers(4, 16),
];

const fn workers(processes: u32, concurrency: u32) -> Workers {
    Workers { processes, concurrency }
}

/// The results of one number of workers, per round.
#[derive(Default)]
struct Measured {
    items_per_second: Vec<f64>,
    deadlocks: i64,
}

pub async fn run(scope: Scope) -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let batch = BatchOf { jobs: scope.pick(200, 4_000), items_per_job: 50 };
    for flush in [Flush::AsItIs, Flush::Slowed] {
        servers.set_flush(flush).await?;
        compare(&servers, scope, batch, flush).await?;
    }
    Ok(())
}

/// Measures all sets of workers in turn, and prints each beside the first.
async fn compare(servers: &Servers, scope: Scope, batch: BatchOf, flush: Flush) -> Result<()> {
    let all = scope.pick(SMALL, FULL);
    let mut measured: Vec<Measured> = all.iter().map(|_| Measured::default()).collect();
    for _ in 0..scope.rounds {
        for (workers, measured) in all.iter().zip(&mut measured) {
            let before = servers.deadlocks().await?;
            let took = time(servers, *workers, batch).await?;
            measured.items_per_second.push(batch.items() as f64 / took.as_secs_f64());
            measured.deadlocks += servers.deadlocks().await? - before;
        }
    }
    let title = format!("One batch of {batch}, Redis and PostgreSQL, flush {}", flush.name());
    let mut table = Table::new(title, &["processes x concurrency", "items/s", "ratio to first row", "deadlocks"]);
    let first = median(&mut measured[0].items_per_second);
    for (workers, mut measured) in all.iter().zip(measured) {
        let ratio = median(&mut measured.items_per_second) / first;
        let name = format!("{} x {}", workers.processes, workers.concurrency);
        table.row(&[&name, &spread(&mut measured.items_per_second), &format!("{ratio:.2}"), &measured.deadlocks]);
    }
    table.print();
    Ok(())
}

/// Returns the time that the workers need for the batch. Stops their processes before it returns.
async fn time(servers: &Servers, workers: Workers, batch: BatchOf) -> Result<Duration> {
    let site = servers.site()?;
    let settings = Settings::unlimited(workers.concurrency).with("MAX_JOBS_PER_BATCH", batch.jobs);
    let hosts = site.start_all(workers.processes, &settings).await?;
    let took = batch.time_on(&hosts[0]).await?;
    stop_all(hosts).await?;
    site.remove().await?;
    Ok(took)
}
