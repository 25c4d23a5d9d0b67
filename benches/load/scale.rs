//! `scale`: one large batch, worked by one process and by four, with so many jobs at a time in each.
//!
//! More workers must be faster. Where a commit waits long for its flush they have to be much faster, since then they wait together.

use std::time::Duration;

use crate::{
    Scope,
    figures::{Result, median},
    host::stop_all,
    report::{Table, spread},
    site::{Flush, Servers, Settings},
    work::BatchOf,
};

/// So many processes, and so many jobs at a time in each.
#[derive(Debug, Clone, Copy)]
struct Crew {
    processes: u32,
    concurrency: u32,
}

const SMALL: &[Crew] = &[crew(1, 2), crew(4, 4)];

const FULL: &[Crew] = &[
    crew(1, 2),
    crew(1, 1),
    crew(1, 4),
    crew(1, 8),
    crew(1, 16),
    crew(4, 1),
    crew(4, 2),
    crew(4, 4),
    crew(4, 8),
    crew(4, 16),
];

const fn crew(processes: u32, concurrency: u32) -> Crew {
    Crew { processes, concurrency }
}

/// What was seen of a crew, round by round.
#[derive(Default)]
struct Seen {
    items_a_second: Vec<f64>,
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

/// Lets every crew work the batch in turn, and prints them beside the first.
async fn compare(servers: &Servers, scope: Scope, batch: BatchOf, flush: Flush) -> Result<()> {
    let crews = scope.pick(SMALL, FULL);
    let mut seen: Vec<Seen> = crews.iter().map(|_| Seen::default()).collect();
    for _ in 0..scope.rounds {
        for (crew, seen) in crews.iter().zip(&mut seen) {
            let before = servers.deadlocks().await?;
            let took = time(servers, *crew, batch).await?;
            seen.items_a_second.push(batch.items() as f64 / took.as_secs_f64());
            seen.deadlocks += servers.deadlocks().await? - before;
        }
    }
    let title = format!("One batch of {batch}, Redis and PostgreSQL, flush {}", flush.name());
    let mut table = Table::new(title, &["processes x at a time", "items/s", "to the first", "deadlocks"]);
    let first = median(&mut seen[0].items_a_second);
    for (crew, mut seen) in crews.iter().zip(seen) {
        let ratio = median(&mut seen.items_a_second) / first;
        let name = format!("{} x {}", crew.processes, crew.concurrency);
        table.row(&[&name, &spread(&mut seen.items_a_second), &format!("{ratio:.2}"), &seen.deadlocks]);
    }
    table.print();
    Ok(())
}

/// How long a crew works on the batch. Its processes have exited afterwards.
async fn time(servers: &Servers, crew: Crew, batch: BatchOf) -> Result<Duration> {
    let site = servers.site()?;
    let settings = Settings::unlimited(crew.concurrency).with("MAX_JOBS_PER_BATCH", batch.jobs);
    let hosts = site.start_all(crew.processes, &settings).await?;
    let took = batch.time_on(&hosts[0]).await?;
    stop_all(hosts).await?;
    site.remove().await?;
    Ok(took)
}
