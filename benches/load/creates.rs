//! `creates`: the processor time of a create, in an empty ledger and with many open batches.
//!
//! Batches are created at an even pace, under the default rate limit, so that workers have little
//! to do. The processor time of the host and PostgreSQL without creates, in the same duration, is
//! subtracted. Rows that were added before are vacuumed and flushed first, so that this is not
//! measured.

use std::time::Duration;

use tokio::time::{Instant, interval, sleep};

use crate::{
    Scope,
    client::{Client, Route},
    cpu,
    figures::Result,
    host::Host,
    report::Table,
    site::{Servers, Settings, Site},
    work::{BatchOf, Filled},
};

/// Jobs at a time, the default.
const CONCURRENCY: u32 = 2;

/// The created batches.
const CREATED: BatchOf = BatchOf { jobs: 10, items_per_job: 100 };

/// The interval of creates.
const PACE: Duration = Duration::from_millis(100);

/// The time after the last create in which its effects are measured.
const SETTLE: Duration = Duration::from_secs(2);

/// Below this processor usage of both, the host has finished its work at the start.
const QUIET: f64 = 0.1;

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
        let site = servers.site()?;
        site.fill(open, count, Filled::Waiting).await?;
        if count > 0 {
            site.postgres().await?.batch_execute("VACUUM (ANALYZE)").await?;
            site.postgres().await?.batch_execute("CHECKPOINT").await?;
        }
        let Cost { host, postgres, times } = measure(&site, creates).await?;
        site.remove().await?;
        let ratio = (host + postgres) / *first.get_or_insert(host + postgres);
        table.row(&[&name, &format!("{host:.1}"), &format!("{postgres:.1}"), &format!("{ratio:.2}"), &times]);
    }
    table.print();
    Ok(())
}

/// The processor time of a create in milliseconds, and its duration.
struct Cost {
    host: f64,
    postgres: f64,
    times: String,
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
    sleep(SETTLE).await;
    let (idle, busy) = (between.since(&before), meter.read()?.since(&between));
    host.stop().await?;
    let each = |of: fn(&Used) -> f64| (of(&busy) - of(&idle) * busy.seconds / idle.seconds) * 1e3 / f64::from(creates);
    let times = client.seen.of(Route::Create).times();
    Ok(Cost { host: each(|used| used.host), postgres: each(|used| used.postgres), times })
}

async fn create(client: &mut Client, host: &Host, creates: u32) -> Result<()> {
    let mut pace = interval(PACE);
    for _ in 0..creates {
        pace.tick().await;
        client.insist(Route::Create, &host.url(""), Some(&CREATED.body())).await.into_success()?;
    }
    Ok(())
}

/// Reads the processor time of a host and its database.
struct Meter {
    host: u32,
    /// A session of the server, for finding its processes.
    session: u32,
    started: Instant,
    _client: tokio_postgres::Client,
}

/// Seconds of processor time so far, and the time of the reading.
struct Used {
    host: f64,
    postgres: f64,
    seconds: f64,
}

impl Used {
    fn since(&self, before: &Self) -> Self {
        Self {
            host: self.host - before.host,
            postgres: self.postgres - before.postgres,
            seconds: self.seconds - before.seconds,
        }
    }
}

impl Meter {
    async fn of(host: &Host, site: &Site<'_>) -> Result<Self> {
        let client = site.postgres().await?;
        let session: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        Ok(Self { host: host.pid()?, session: session.try_into()?, started: Instant::now(), _client: client })
    }

    fn read(&self) -> Result<Used> {
        Ok(Used {
            host: cpu::of_process(self.host)?.as_secs_f64(),
            postgres: cpu::of_siblings_and_parent(self.session)?.as_secs_f64(),
            seconds: self.started.elapsed().as_secs_f64(),
        })
    }

    async fn wait_until_quiet(&self) -> Result<()> {
        let end = Instant::now() + QUIET_TIMEOUT;
        loop {
            let before = self.read()?;
            sleep(Duration::from_secs(1)).await;
            let used = self.read()?.since(&before);
            if used.host + used.postgres < QUIET || Instant::now() > end {
                return Ok(());
            }
        }
    }
}
