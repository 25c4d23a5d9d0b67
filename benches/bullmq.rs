//! The speed of the queues in Redis, compared with the same work in Node: `cargo bench --bench
//! bullmq`. Starts Redis and PostgreSQL servers, both configured as in production. Needs Node.
//!
//! Each case alternates with its counterpart in the same run, because a single figure says more
//! about the machine than about the crate. `UPDATE=1` writes the tables into `docs/benchmarks.md`.

mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    fmt::Write as _,
    io::Cursor,
    path::Path,
    pin::pin,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use figures::{ROUNDS, Result, median};
use rocket::{figment::providers::Serialized, futures::SinkExt as _, local::asynchronous::Client};
use rocket_batch::{
    Batch, BatchStatus, ItemOptions,
    config::{QueueSettings, RateLimitSetting, RedisSettings},
    domain::{BatchId, CodeKey, CodeScheme, Delivery, JobId, Task},
    queue::{
        Disposition, Handler, Offer, ProgressSink, Queue,
        bullmq::{BullQueue, Server},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::{plugin, postgres, redis::Redis};
use tokio::{
    process::Command,
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};

/// The time limit of a measurement.
const LIMIT: Duration = Duration::from_secs(300);

#[rocket::main]
async fn main() -> Result<()> {
    install_node_modules().await?;
    let redis = Redis::with(&["--appendfsync", "everysec"]).await;
    let postgres = postgres::Server::start();
    let machine = Machine { redis: redis.port, postgres: postgres.url().to_owned() };
    let mut report = String::new();
    for case in [SPECIFIED, TUNED] {
        machine.end_to_end(&case, &mut report).await?;
    }
    machine.queue_alone(&mut report).await?;
    machine.add_to_start(&mut report).await?;
    publish(&report)
}

/// A batch, and the settings of both sides.
struct Case {
    title: &'static str,
    items: u64,
    /// Items per job.
    size: u64,
    chunk: u64,
    concurrency: u64,
    /// Whether Node sends a chunk as two arrays instead of rows.
    arrays: bool,
    /// The required ratio to Node.
    goal: &'static str,
}

const SPECIFIED: Case = Case {
    title: "100,000 items, 100 a job, 50 a chunk, 2 jobs at a time, no rate limit",
    items: 100_000,
    size: 100,
    chunk: 50,
    concurrency: 2,
    arrays: false,
    goal: "1.0, better 1.5",
};

const TUNED: Case = Case {
    title: "1,000,000 items, 10,000 a job, 5,000 a chunk, 2 jobs at a time, arrays on both sides",
    items: 1_000_000,
    size: 10_000,
    chunk: 5_000,
    concurrency: 2,
    arrays: true,
    goal: "2.0",
};

/// The rows that Node inserts.
#[derive(Clone, Copy)]
enum Node {
    /// The same columns and keys, and codes of the same length without a unique index.
    Alike,
    /// Random codes with a unique index.
    Alone,
}

/// The servers.
struct Machine {
    redis: u16,
    postgres: String,
}

impl Machine {
    async fn end_to_end(&self, case: &Case, report: &mut String) -> Result<()> {
        let [mut ours, mut alike, mut alone, mut copied] = [(); 4].map(|()| Vec::new());
        for round in 0..=ROUNDS {
            let figures = [
                (&mut ours, self.ours(case).await?),
                (&mut alike, self.node(case, Node::Alike).await?),
                (&mut alone, self.node(case, Node::Alone).await?),
                (&mut copied, self.copy(case).await?),
            ];
            // The first one warms up.
            for (kept, took) in figures.into_iter().filter(|_| round > 0) {
                kept.push(case.items as f64 / took.as_secs_f64());
            }
        }
        let mut table = Table::new(report, &format!("End to end: {}", case.title), "items/s", &mut ours);
        table.row(&format!("Node, same columns and keys (goal: {})", case.goal), &mut alike);
        table.row("Node, unique index on random codes", &mut alone);
        table.row("`COPY` of the same rows, one connection", &mut copied);
        Ok(())
    }

    /// From the call to the end of the batch.
    async fn ours(&self, case: &Case) -> Result<Duration> {
        let schema = postgres::a_schema();
        let client = self.plugin(case, &schema).await?;
        let service = plugin::service(&client);
        let options = ItemOptions { max_jobs_per_batch: Some(case.items / case.size), ..service.default_options() };
        let began = Instant::now();
        service.create_product_items_async(1, case.items, options).await?;
        let progress = service.until_finished(1, LIMIT).await?;
        let took = began.elapsed();
        assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, case.items));
        client.terminate().await;
        self.drop_schema(&schema).await?;
        Ok(took)
    }

    async fn plugin(&self, case: &Case, schema: &str) -> Result<Client> {
        let settings = plugin::settings(&self.postgres)
            .merge(Serialized::global("databases.batch.schema", schema))
            .merge(Serialized::global("batch.redis.host", "127.0.0.1"))
            .merge(Serialized::global("batch.redis.port", self.redis))
            .merge(Serialized::global("batch.redis.prefix", schema))
            .merge(Serialized::global("batch.generate.concurrency", case.concurrency))
            .merge(Serialized::global("batch.chunk_size", case.chunk))
            .merge(Serialized::global("batch.batch_size", case.size));
        Ok(plugin::launch(settings, Batch::fairing().public()).await?)
    }

    async fn node(&self, case: &Case, node: Node) -> Result<Duration> {
        let schema = postgres::a_schema();
        let unique = match node {
            Node::Alike => "",
            Node::Alone => "CREATE UNIQUE INDEX ON items (code)",
        };
        self.table(&schema, unique).await?;
        let took: f64 = self
            .run(
                "end",
                json!({
                    "schema": schema, "postgres": self.postgres, "alone": matches!(node, Node::Alone), "arrays": case.arrays,
                    "items": case.items, "size": case.size, "chunk": case.chunk, "concurrency": case.concurrency,
                }),
            )
            .await?;
        let count = format!("SELECT count(*) FROM {schema}.items");
        let made: i64 = postgres::client(&self.postgres).await.query_one(&count, &[]).await?.get(0);
        assert_eq!(made as u64, case.items);
        self.drop_schema(&schema).await?;
        Ok(Duration::from_secs_f64(took / 1e3))
    }

    /// The table of our items, alone.
    async fn table(&self, schema: &str, more: &str) -> Result<()> {
        let table =
            "batch bigint NOT NULL, ordinal bigint NOT NULL CHECK (ordinal >= 0), code text COLLATE \"C\" NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (batch, ordinal)";
        let make = format!("CREATE SCHEMA {schema}; SET search_path = {schema}; CREATE TABLE items ({table}); {more}");
        Ok(postgres::client(&self.postgres).await.batch_execute(&make).await?)
    }

    /// One connection that only copies rows, which were made before.
    async fn copy(&self, case: &Case) -> Result<Duration> {
        let schema = postgres::a_schema();
        self.table(&schema, "").await?;
        let (codes, batch) = (CodeScheme::new(&CodeKey::from_bytes([7; 16])), BatchId::new(1)?);
        let mut pages = Vec::new();
        for first in (0..case.items).step_by(case.chunk as usize) {
            let mut page = String::new();
            for ordinal in first..first + case.chunk {
                writeln!(page, "1\t{ordinal}\t{}", codes.encode(None, batch, ordinal))?;
            }
            pages.push(page);
        }
        let client = postgres::client(&self.postgres).await;
        let began = Instant::now();
        let copy = format!("COPY {schema}.items (batch, ordinal, code) FROM STDIN");
        let mut rows = pin!(client.copy_in::<_, Cursor<Vec<u8>>>(&copy).await?);
        for page in pages {
            rows.send(Cursor::new(page.into_bytes())).await?;
        }
        rows.finish().await?;
        let took = began.elapsed();
        self.drop_schema(&schema).await?;
        Ok(took)
    }

    async fn drop_schema(&self, schema: &str) -> Result<()> {
        let client = postgres::client(&self.postgres).await;
        Ok(client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE; CHECKPOINT")).await?)
    }

    /// What a case of `benches/bullmq.js` took.
    async fn run<T: DeserializeOwned>(&self, case: &str, support: Value) -> Result<T> {
        let mut support = support;
        support["redis"] = self.redis.into();
        support["prefix"] = postgres::a_schema().into();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bullmq.js");
        let mut node = Command::new("node");
        node.arg(script).arg(case).arg(support.to_string()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = timeout(LIMIT, node.output()).await??;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The queue with a handler that does nothing.
impl Machine {
    const JOBS: u64 = 20_000;
    const CONCURRENCY: u32 = 10;
    const TIMES: usize = 300;

    async fn queue_alone(&self, report: &mut String) -> Result<()> {
        let (mut ours, mut node) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let took = self.work_through().await?.as_secs_f64();
            let support = json!({ "jobs": Self::JOBS, "concurrency": Self::CONCURRENCY });
            let nodes: f64 = self.run("queue", support).await?;
            if round > 0 {
                ours.push(Self::JOBS as f64 / took);
                node.push(Self::JOBS as f64 * 1e3 / nodes);
            }
        }
        let title = format!("The queue alone: {} jobs without work, {} at a time", Self::JOBS, Self::CONCURRENCY);
        Table::new(report, &title, "jobs/s", &mut ours)
            .row("Node, jobs with the same priorities (goal: 1.1)", &mut node);
        Ok(())
    }

    async fn work_through(&self) -> Result<Duration> {
        let queue = self.queue(Self::CONCURRENCY).await?;
        let jobs: Vec<_> = (0..Self::JOBS).map(offer).collect::<Result<_>>()?;
        for page in jobs.chunks(500) {
            queue.offer(page).await?;
        }
        let counter = Arc::new(Counter { left: AtomicU64::new(Self::JOBS), done: Notify::new() });
        let began = Instant::now();
        queue.work(counter.clone()).await?;
        timeout(LIMIT, counter.done.notified()).await?;
        let took = began.elapsed();
        queue.drain(Instant::now() + LIMIT).await;
        Ok(took)
    }

    async fn add_to_start(&self, report: &mut String) -> Result<()> {
        let (mut ours, mut node) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let took = self.starts().await?;
            let nodes: Vec<f64> = self.run("start", json!({ "times": Self::TIMES })).await?;
            if round > 0 {
                ours.extend(took);
                node.extend(nodes);
            }
        }
        let _ = writeln!(
            report,
            "### From an add to the start of its job, on an idle queue\n\n| | p50 | p99 |\n|---|---|---|"
        );
        for (who, mut figures) in [("rocket_batch", ours), ("Node", node)] {
            let p50 = median(&mut figures);
            let p99 = figures[figures.len() * 99 / 100];
            let _ = writeln!(report, "| {who} | {p50:.2} ms | {p99:.2} ms |");
        }
        report.push('\n');
        Ok(())
    }

    async fn starts(&self) -> Result<Vec<f64>> {
        let queue = self.queue(1).await?;
        let (started, mut starts) = mpsc::unbounded_channel();
        queue.work(Arc::new(Starts(started))).await?;
        let mut took = Vec::new();
        for at in 0..Self::TIMES {
            sleep(Duration::from_millis(20)).await;
            let began = Instant::now();
            queue.offer(&[offer(at as u64)?]).await?;
            let start = timeout(LIMIT, starts.recv()).await?.ok_or("the worker is gone")?;
            took.push((start - began).as_secs_f64() * 1e3);
        }
        queue.drain(Instant::now() + LIMIT).await;
        Ok(took)
    }

    /// The usual queue, without a rate limit, below a prefix of its own.
    async fn queue(&self, concurrency: u32) -> Result<BullQueue> {
        let mut redis = RedisSettings::default();
        redis.host = Some("127.0.0.1".into());
        redis.port = self.redis;
        redis.prefix = postgres::a_schema();
        let mut settings = QueueSettings::default();
        settings.concurrency = concurrency;
        settings.rate_limit = RateLimitSetting(None);
        Ok(BullQueue::open("generate-product-batch-items", &settings, Arc::new(Server::new(&redis)?)).await?)
    }
}

fn offer(seq: u64) -> Result<Offer> {
    let job = JobId { batch: BatchId::new(1)?, seq, generation: 0 };
    let task = Task::Generate { job, first: seq, quantity: 1 };
    Ok(Offer { task, rank: seq, delay: Duration::ZERO, attempts_made: 0 })
}

/// Counts down.
struct Counter {
    left: AtomicU64,
    done: Notify,
}

#[async_trait]
impl Handler for Counter {
    async fn handle(&self, _: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.done.notify_one();
        }
        Disposition::Ack
    }
}

/// Reports when a job was started.
struct Starts(mpsc::UnboundedSender<Instant>);

#[async_trait]
impl Handler for Starts {
    async fn handle(&self, _: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        let _ = self.0.send(Instant::now());
        Disposition::Ack
    }
}

/// A table of the report: our figures first, then the others with the ratio of ours to theirs.
struct Table<'a> {
    report: &'a mut String,
    ours: f64,
}

impl<'a> Table<'a> {
    fn new(report: &'a mut String, title: &str, unit: &str, ours: &mut [f64]) -> Self {
        let _ = writeln!(report, "### {title}\n\n| | {unit} | least to most | ours to it |\n|---|---|---|---|");
        let mut table = Self { report, ours: median(ours) };
        table.line("rocket_batch", ours, "");
        table.report.push('\n');
        table
    }

    fn row(&mut self, what: &str, figures: &mut [f64]) {
        let ratio = format!("{:.2}", self.ours / median(figures));
        self.report.pop();
        self.line(what, figures, &ratio);
        self.report.push('\n');
    }

    fn line(&mut self, what: &str, figures: &[f64], ratio: &str) {
        let (min, max) = (figures[0], figures[figures.len() - 1]);
        let median = figures[figures.len() / 2];
        let _ = writeln!(self.report, "| {what} | {median:.0} | {min:.0} to {max:.0} | {ratio} |");
    }
}

/// Prints the report, and writes it below its marker line in `docs/benchmarks.md`.
fn publish(report: &str) -> Result<()> {
    const MARK: &str = "<!-- written by `UPDATE=1 cargo bench --bench bullmq` -->\n";
    println!("{report}");
    if std::env::var_os("UPDATE").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        let page = std::fs::read_to_string(&file)?;
        let (head, _) = page.split_once(MARK).ok_or("docs/benchmarks.md has no place for the tables")?;
        std::fs::write(file, format!("{head}{MARK}\n{}\n", report.trim_end()))?;
    }
    Ok(())
}

/// The modules of the tests, if they are not there yet.
async fn install_node_modules() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    if !folder.join("node_modules/bullmq").exists() {
        let installed = Command::new("npm").args(["ci", "--silent"]).current_dir(&folder).status().await?;
        if !installed.success() {
            return Err("npm could not install the modules of tests/node".into());
        }
    }
    Ok(())
}
