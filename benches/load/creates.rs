//! `creates`: the processor time of a create, in an empty ledger and beside many open batches.
//!
//! Batches are created at an even pace, under the default rate limit, so that workers have little to do. What the host and PostgreSQL use
//! without any create, in a time as long, is subtracted.

use std::time::Duration;

use tokio::time::{Instant, interval, sleep};

use crate::{
    Scope,
    client::{Client, Route},
    cpu,
    figures::{Result, median},
    host::Host,
    report::{Table, percentile},
    site::{Servers, Settings, Site},
    work::{BatchOf, Filled},
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// What is created.
const CREATED: BatchOf = BatchOf { jobs: 10, items_per_job: 100 };

/// Between two creates.
const PACE: Duration = Duration::from_millis(100);

/// A host that used less in a second has caught up with what it found at its start.
const QUIET: Duration = Duration::from_millis(100);

const QUIET_TIMEOUT: Duration = Duration::from_secs(120);

pub async fn run(scope: Scope) -> Result<()> {
    let open = BatchOf { jobs: scope.pick(10, 1_000), items_per_job: 1 };
    let (count, creates) = (scope.pick(200, 10_000), scope.pick(30, 200));
    let servers = Servers::redis_and_postgres().await;
    let mut table = Table::new(
        format!("The cost of creating a batch of {CREATED}, Redis and PostgreSQL, {creates} creates"),
        &["open batches", "host, ms of CPU", "PostgreSQL, ms of CPU", "both, to the empty ledger", "p50, p99 ms"],
    );
    let mut first = None;
    for (name, count) in [("none".to_owned(), 0), (format!("{count} of {open}"), count)] {
        let mut costs = Vec::new();
        for _ in 0..scope.rounds {
            let site = servers.site()?;
            site.fill(open, count, Filled::Waiting).await?;
            costs.push(measure(&site, creates).await?);
            site.remove().await?;
        }
        let cost = Cost::median(costs);
        let ratio = cost.both() / first.get_or_insert(cost.clone()).both();
        let times = format!("{:.1}, {:.1}", cost.p50, cost.p99);
        let [host, postgres] = [cost.host, cost.postgres].map(|ms| format!("{ms:.1}"));
        table.row(&[&name, &host, &postgres, &format!("{ratio:.2}"), &times]);
    }
    table.print();
    Ok(())
}

/// What a create costs and how long it takes, in milliseconds.
#[derive(Clone)]
struct Cost {
    host: f64,
    postgres: f64,
    p50: f64,
    p99: f64,
}

impl Cost {
    fn both(&self) -> f64 {
        self.host + self.postgres
    }

    fn median(costs: Vec<Self>) -> Self {
        let middle = |of: fn(&Self) -> f64| median(&mut costs.iter().map(of).collect::<Vec<_>>());
        Self {
            host: middle(|cost| cost.host),
            postgres: middle(|cost| cost.postgres),
            p50: middle(|cost| cost.p50),
            p99: middle(|cost| cost.p99),
        }
    }
}

async fn measure(site: &Site<'_>, creates: u32) -> Result<Cost> {
    let host = site.start(&Settings::limited(CONCURRENCY)).await?;
    let meter = Meter::of(&host, site).await?;
    meter.wait_until_quiet().await?;
    let before = meter.read()?;
    sleep(PACE * creates).await;
    let between = meter.read()?;
    let mut client = Client::new()?;
    create(&mut client, &host, creates).await?;
    let after = meter.read()?;
    let ms = &mut client.seen.of(Route::Create).answered;
    let each = |of: fn(&Used) -> Duration| {
        let idle = of(&between).saturating_sub(of(&before));
        let busy = of(&after).saturating_sub(of(&between));
        busy.saturating_sub(idle).as_secs_f64() * 1e3 / f64::from(creates)
    };
    let cost = Cost {
        host: each(|used| used.host),
        postgres: each(|used| used.postgres),
        p50: percentile(ms, 50),
        p99: percentile(ms, 99),
    };
    host.stop().await?;
    Ok(cost)
}

async fn create(client: &mut Client, host: &Host, creates: u32) -> Result<()> {
    let mut pace = interval(PACE);
    for _ in 0..creates {
        pace.tick().await;
        client.insist(Route::Create, &host.url(""), Some(&CREATED.body())).await.success().ok_or("not accepted")?;
    }
    pace.tick().await;
    Ok(())
}

/// Reads what a host and its database have used.
struct Meter {
    host: u32,
    /// A session of the server, by which its processes are found.
    session: u32,
    _client: tokio_postgres::Client,
}

struct Used {
    host: Duration,
    postgres: Duration,
}

impl Meter {
    async fn of(host: &Host, site: &Site<'_>) -> Result<Self> {
        let client = site.postgres().await?;
        let session: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok(Self { host: host.pid()?, session: session.try_into()?, _client: client })
    }

    fn read(&self) -> Result<Used> {
        Ok(Used { host: cpu::of_process(self.host)?, postgres: cpu::of_siblings_and_parent(self.session)? })
    }

    async fn wait_until_quiet(&self) -> Result<()> {
        let end = Instant::now() + QUIET_TIMEOUT;
        loop {
            let before = self.read()?;
            sleep(Duration::from_secs(1)).await;
            let after = self.read()?;
            let used = (after.host - before.host) + after.postgres.saturating_sub(before.postgres);
            if used < QUIET || Instant::now() > end {
                return Ok(());
            }
        }
    }
}
