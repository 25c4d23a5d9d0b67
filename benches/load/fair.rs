//! `fair`: many batches that wait at once, and when each of them finishes.
//!
//! Of equal batches, those created first should finish first; a batch then takes half of the whole
//! time on average. If all batches took turns, all would finish at the end. Small batches should
//! not wait for a large one, and the large one has to finish.
//!
//! All batches are in the ledger before the host starts, so their creation is not measured. Times
//! start with the first claim of a job, as parts of the time until everything is finished.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    Scope,
    figures::{Result, median},
    host::Host,
    report::{Table, percentile, spread},
    site::{Servers, Settings, Site},
    work::{BatchOf, Filled, all_batches, page, time_of},
};

/// The interval of reads, long enough not to slow down the workers.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

const ITEMS_PER_JOB: u64 = 50;

/// The batches in the ledger when the host starts: numbers of batches with their size.
type Mix = Vec<(u64, BatchOf)>;

/// A batch that finished.
struct Finished {
    jobs: u64,
    items: u64,
    /// When the batch finished, as a part of the whole time.
    at: f64,
}

/// The result of a mix.
struct WorkedOff {
    batches: Vec<Finished>,
    took: Duration,
}

pub async fn run(scope: Scope) -> Result<()> {
    let servers = Servers::redis_and_postgres().await;
    let small = BatchOf { jobs: 10, items_per_job: ITEMS_PER_JOB };
    let count = scope.pick(30, 1_000);
    let large = BatchOf { jobs: count * small.jobs, ..small };
    compare_speed(&servers, scope, (count, small), large).await?;

    let mixes = [
        ("equal batches", vec![(count, small)]),
        ("the large one first", vec![(1, large), (count, small)]),
        ("the large one last", vec![(count, small), (1, large)]),
    ];
    let title = format!("{count} batches of {small}, and one of {large}: time until finished, as a part of the whole");
    let columns = ["", "small ones, mean", "small ones, p99", "the large one", "all, s"];
    let mut table = Table::new(title, &columns);
    for (name, mix) in mixes {
        let worked_off = work(&servers, &mix).await?;
        let [mean, p99] = mean_and_p99(worked_off.finished(small.jobs)).map(|at| format!("{at:.2}"));
        let of_large = worked_off.finished(large.jobs).first().map_or_else(String::new, |at| format!("{at:.2}"));
        table.row(&[&name, &mean, &p99, &of_large, &format!("{:.1}", worked_off.took.as_secs_f64())]);
    }
    table.print();
    Ok(())
}

fn mean_and_p99(mut figures: Vec<f64>) -> [f64; 2] {
    [figures.iter().sum::<f64>() / figures.len() as f64, percentile(&mut figures, 99)]
}

/// Items per second of many small batches, compared with one batch with as many jobs.
async fn compare_speed(servers: &Servers, scope: Scope, many: (u64, BatchOf), one: BatchOf) -> Result<()> {
    let (mut of_many, mut of_one) = (Vec::new(), Vec::new());
    for _ in 0..scope.rounds {
        of_many.push(work(servers, &vec![many]).await?.items_per_second());
        of_one.push(work(servers, &vec![(1, one)]).await?.items_per_second());
    }
    let title = "Many small batches beside one large one, Redis and PostgreSQL, 1 process x 2";
    let mut table = Table::new(title, &["", "items/s", "to the large one"]);
    let ratio = median(&mut of_many) / median(&mut of_one);
    table.row(&[&format!("one of {one}"), &spread(&mut of_one), &"1.00"]);
    table.row(&[&format!("{} of {}", many.0, many.1), &spread(&mut of_many), &format!("{ratio:.2}")]);
    table.print();
    Ok(())
}

/// Adds a mix to a new ledger, and runs a host until all batches are finished.
async fn work(servers: &Servers, mix: &Mix) -> Result<WorkedOff> {
    let site = servers.site()?;
    let mut expected = 0;
    for (count, batch) in mix {
        site.fill(*batch, *count, Filled::Waiting).await?;
        expected += count * batch.items();
    }
    let worked_off = work_off(&site).await?;
    site.remove().await?;
    let items: u64 = worked_off.batches.iter().map(|batch| batch.items).sum();
    if items != expected {
        return Err(format!("{items} of {expected} items were made").into());
    }
    Ok(worked_off)
}

async fn work_off(site: &Site<'_>) -> Result<WorkedOff> {
    let host = site.start(&Settings::unlimited(CONCURRENCY)).await?;
    let http = reqwest::Client::new();
    while is_working(&http, &host).await? {
        sleep(POLL_INTERVAL).await;
    }
    let worked_off = WorkedOff::of(&all_batches(&host).await?)?;
    host.stop().await?;
    Ok(worked_off)
}

/// Whether any batch is open. Reads pending batches first, because they become running and not the
/// other way around.
async fn is_working(http: &reqwest::Client, host: &Host) -> Result<bool> {
    for status in ["pending", "running"] {
        let page = page(http, host, &format!("?status={status}&limit=1")).await?;
        if page["items"].as_array().is_some_and(|batches| !batches.is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl WorkedOff {
    fn of(batches: &[Value]) -> Result<Self> {
        let began = times(batches, "startedAt")?.into_iter().min().ok_or("there was no batch")?;
        let ends = times(batches, "finishedAt")?;
        let took = (*ends.iter().max().ok_or("there was no batch")? - began).to_std()?;
        let finished = |(batch, end): (&Value, DateTime<Utc>)| {
            let at = (end - began).to_std()?.as_secs_f64() / took.as_secs_f64();
            let jobs = batch["jobs"]["completed"].as_u64().ok_or("no jobs")?;
            Ok(Finished { jobs, items: batch["itemsCreated"].as_u64().ok_or("no items")?, at })
        };
        Ok(Self { batches: batches.iter().zip(ends).map(finished).collect::<Result<_>>()?, took })
    }

    /// When the batches of this size finished.
    fn finished(&self, jobs: u64) -> Vec<f64> {
        self.batches.iter().filter(|batch| batch.jobs == jobs).map(|batch| batch.at).collect()
    }

    fn items_per_second(&self) -> f64 {
        self.batches.iter().map(|batch| batch.items as f64).sum::<f64>() / self.took.as_secs_f64()
    }
}

fn times(batches: &[Value], name: &str) -> Result<Vec<DateTime<Utc>>> {
    batches.iter().map(|batch| time_of(batch, name)).collect()
}
