//! `lists`: how long a small batch takes while many clients list a thousand large ones, and whether
//! the host stays ready.
//!
//! The large batches are paused, so the small one is all the work there is. The clients that list
//! honour `Retry-After`. The time of a small batch runs from the first attempt to send the request
//! to the end of the batch, measured with the system clock, which the client and the database have
//! in common.

use std::time::Duration;

use chrono::Utc;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    Scope,
    client::{Client, Route, Tally},
    figures::Result,
    host::Host,
    report::{Table, percentile},
    site::{Servers, Settings, Site},
    work::{BatchOf, Filled, time_of},
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// One job, so that the time of the queue is measured and not the work.
const SMALL: BatchOf = BatchOf { jobs: 1, items_per_job: 100 };

/// The interval of reading the small batch.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The interval of probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// The number of batches to list and of clients, and the duration.
#[derive(Debug, Clone, Copy)]
struct Lists {
    batches: u64,
    of: BatchOf,
    clients: usize,
    time: Duration,
}

pub async fn run(scope: Scope) -> Result<()> {
    let lists = Lists {
        batches: scope.pick(50, 1_000),
        of: BatchOf { jobs: scope.pick(50, 1_000), items_per_job: 1 },
        clients: scope.pick(8, 40),
        time: scope.pick(Duration::from_secs(4), Duration::from_secs(60)),
    };
    let title = format!(
        "A batch of {SMALL}, again and again, while {} clients list {} batches of {}",
        lists.clients, lists.batches, lists.of
    );
    let columns = [
        "",
        "small batches",
        "p50, p99, max ms",
        "lists",
        "list p50, p99 ms",
        "refused",
        "faults",
        "probes",
        "not ready",
    ];
    let mut table = Table::new(title, &columns);
    lists.measure("Redis and PostgreSQL", &Servers::redis_and_postgres().await, &mut table).await?;
    lists.measure("SQLite, queue in the process", &Servers::none(), &mut table).await?;
    table.print();
    Ok(())
}

/// The measurements with or without load.
struct Observation {
    small_ms: Vec<f64>,
    tally: Tally,
    probes: Probes,
}

/// The responses of `/health/ready`.
#[derive(Default)]
struct Probes {
    all: u64,
    not_ready: u64,
}

impl Lists {
    async fn measure(self, name: &str, servers: &Servers, table: &mut Table) -> Result<()> {
        let site = servers.site()?;
        site.fill(self.of, self.batches, Filled::Paused).await?;
        self.measure_at(&site, name, table).await?;
        site.remove().await
    }

    async fn measure_at(self, site: &Site<'_>, name: &str, table: &mut Table) -> Result<()> {
        let host = site.start(&Settings::unlimited(CONCURRENCY)).await?;
        let quiet = Self { clients: 0, time: self.time / 4, ..self };
        quiet.observe(&host).await?.show(&format!("{name}, without load"), table);
        self.observe(&host).await?.show(name, table);
        host.stop().await
    }

    /// Creates small batches one after the other while the clients list.
    async fn observe(self, host: &Host) -> Result<Observation> {
        let (end, ended) = watch::channel(());
        let listing: Vec<_> = (0..self.clients).map(|_| list(host.url("?limit=1000"), ended.clone())).collect();
        let probing = probe(host.url("/health/ready"), ended);
        let (mut client, mut small_ms) = (Client::new()?, Vec::new());
        let until = Instant::now() + self.time;
        while Instant::now() < until {
            small_ms.push(time_small(&mut client, host).await?);
        }
        drop(end);
        let mut tally = client.seen;
        for listed in listing {
            tally.add(listed.await??);
        }
        Ok(Observation { small_ms, tally, probes: probing.await?? })
    }
}

impl Observation {
    fn show(mut self, name: &str, table: &mut Table) {
        let ms = &mut self.small_ms;
        let (p50, p99) = (percentile(ms, 50), percentile(ms, 99));
        let times = format!("{p50:.0}, {p99:.0}, {:.0}", percentile(ms, 100));
        let (refused, faults) = (self.tally.refused(), self.tally.faults().join("; "));
        let lists = self.tally.of(Route::List);
        let list_times = lists.times();
        table.row(&[
            &name,
            &ms.len(),
            &times,
            &lists.answered.len(),
            &list_times,
            &refused,
            &faults,
            &self.probes.all,
            &self.probes.not_ready,
        ]);
    }
}

/// Creates a small batch and waits until it is finished. Returns the time in between, in
/// milliseconds.
async fn time_small(client: &mut Client, host: &Host) -> Result<f64> {
    let began = Utc::now();
    let created = client.insist(Route::Create, &host.url(""), Some(&SMALL.body())).await.into_success()?;
    let url = host.url(&format!("/{}", created["batchId"]));
    loop {
        let batch = client.insist(Route::Get, &url, None).await.into_success()?;
        if !batch["finishedAt"].is_null() {
            let took = time_of(&batch, "finishedAt")? - began;
            return Ok(took.num_microseconds().unwrap_or_default() as f64 / 1e3);
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Lists repeatedly until `ended`. Reads only the bytes of the first page, because the work of the
/// client is not measured.
fn list(url: String, mut ended: watch::Receiver<()>) -> JoinHandle<Result<Tally>> {
    tokio::spawn(async move {
        let mut client = Client::new()?;
        let listing = async {
            loop {
                client.insist(Route::List, &url, None).await;
            }
        };
        tokio::select! {
            _ = ended.changed() => {}
            () = listing => {}
        }
        Ok(client.seen)
    })
}

/// Probes the host as a load balancer does, until `ended`.
fn probe(url: String, mut ended: watch::Receiver<()>) -> JoinHandle<Result<Probes>> {
    tokio::spawn(async move {
        let (mut client, mut probes) = (Client::new()?, Probes::default());
        let probing = async {
            loop {
                let ready = client.send(Route::Ready, &url, None).await.success().is_some();
                probes.all += 1;
                probes.not_ready += u64::from(!ready);
                sleep(PROBE_INTERVAL).await;
            }
        };
        tokio::select! {
            _ = ended.changed() => {}
            () = probing => {}
        }
        Ok(probes)
    })
}
