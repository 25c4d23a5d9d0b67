//! The speed of the ledger in PostgreSQL: `cargo bench --bench postgres`. Starts a server that
//! flushes as in production.
//!
//! Each case alternates with its counterpart in the same run, because a single figure says more
//! about the machine than about the crate. Prints medians with minimum and maximum.

mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use figures::{ROUNDS, Result, print_median, print_median_ms};
use rocket::{figment::providers::Serialized, http::ContentType, local::asynchronous::Client};
use rocket_batch::{
    Batch, BatchStatus, ItemOptions,
    domain::{BatchId, CodeKey, CodeScheme},
};
use support::{
    plugin::{self, service},
    postgres::{self, Server},
};

const CONNECTIONS: u64 = 2;
/// Items per job.
const JOB: u64 = 10_000;

/// The first ordinal and the codes of each remaining job.
type Jobs = Arc<Mutex<std::vec::IntoIter<(u64, Vec<String>)>>>;

#[rocket::main]
async fn main() -> Result<()> {
    let server = Server::start();
    for (chunk, items) in [(50, 500_000), (5_000, 1_000_000)] {
        throughput(server.url(), chunk, items).await?;
    }
    posts(server.url()).await?;
    progress(server.url()).await
}

/// A plugin on a schema of its own, without a rate limit.
async fn launch(url: &str, schema: &str, chunk: u64) -> Result<Client> {
    let settings = plugin::settings(url)
        .merge(Serialized::global("databases.batch.schema", schema))
        .merge(Serialized::global("batch.generate.concurrency", CONNECTIONS))
        .merge(Serialized::global("batch.chunk_size", chunk))
        .merge(Serialized::global("batch.batch_size", JOB));
    Ok(plugin::launch(settings, Batch::fairing().public()).await?)
}

/// Items per second from the call to the end of the batch, compared with a plain loop of array
/// inserts of the same rows, on as many connections as there are workers.
async fn throughput(url: &str, chunk: u64, items: u64) -> Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let end_to_end = end_to_end(url, chunk, items).await?;
        let loop_alone = bare_loop(url, chunk, items).await?;
        // The first one warms up.
        if round > 0 {
            ours.push(items as f64 / end_to_end.as_secs_f64());
            bare.push(items as f64 / loop_alone.as_secs_f64());
        }
    }
    println!(
        "{items} items into PostgreSQL, {chunk} a chunk, {CONNECTIONS} workers, {ROUNDS} rounds, items/s (least to most):"
    );
    let ratio = print_median("rocket_batch, end to end", &mut ours) / print_median("bare array inserts", &mut bare);
    println!("  ratio {ratio:.2}\n");
    Ok(())
}

async fn end_to_end(url: &str, chunk: u64, items: u64) -> Result<Duration> {
    let schema = postgres::a_schema();
    let client = launch(url, &schema, chunk).await?;
    let options = service(&client).default_options();
    let began = Instant::now();
    service(&client).create_product_items_async(1, items, options).await?;
    let progress = service(&client).until_finished(1, Duration::from_secs(600)).await?;
    let took = began.elapsed();
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, items));
    client.terminate().await;
    drop_schema(url, &schema).await?;
    Ok(took)
}

async fn drop_schema(url: &str, schema: &str) -> Result<()> {
    Ok(postgres::client(url).await.batch_execute(&format!("DROP SCHEMA {schema} CASCADE; CHECKPOINT")).await?)
}

/// The same rows in the same table, inserted by the database alone. The codes are made before.
async fn bare_loop(url: &str, chunk: u64, items: u64) -> Result<Duration> {
    let schema = postgres::a_schema();
    launch(url, &schema, chunk).await?.terminate().await;
    let (codes, batch) = (CodeScheme::new(&CodeKey::from_bytes([7; 16])), BatchId::new(1)?);
    let jobs: Vec<(u64, Vec<String>)> = (0..items / JOB)
        .map(|job| (job * JOB, (job * JOB..(job + 1) * JOB).map(|at| codes.encode(None, batch, at)).collect()))
        .collect();
    let jobs = Arc::new(Mutex::new(jobs.into_iter()));
    let began = Instant::now();
    let mut running = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = postgres::client(url).await;
        client.batch_execute(&format!("SET search_path = {schema}")).await?;
        running.push(tokio::spawn(insert(client, jobs.clone(), chunk)));
    }
    for lane in running {
        lane.await??;
    }
    let took = began.elapsed();
    drop_schema(url, &schema).await?;
    Ok(took)
}

async fn insert(client: tokio_postgres::Client, jobs: Jobs, chunk: u64) -> Result<()> {
    let insert = "INSERT INTO items (batch, ordinal, code) SELECT 1, * FROM unnest($1::bigint[], $2::text[])";
    let insert = client.prepare(insert).await?;
    let next = || jobs.lock().expect("no code panics while holding this lock").next();
    while let Some((first, codes)) = next() {
        for (at, codes) in (0..).zip(codes.chunks(chunk as usize)) {
            let from = (first + at * chunk) as i64;
            let ordinals: Vec<i64> = (from..from + codes.len() as i64).collect();
            client.execute(&insert, &[&ordinals, &codes]).await?;
        }
    }
    Ok(())
}

/// The duration of a create by size of the batch.
async fn posts(url: &str) -> Result<()> {
    let client = launch(url, &postgres::a_schema(), 50).await?;
    println!("POST, milliseconds, median of 20 (least to most):");
    for (quantity, size) in [(1_000, 10), (100_000, 100), (10_000_000, 10_000)] {
        let mut figures = Vec::new();
        for _ in 0..21 {
            let body = format!("{{\"quantity\": {quantity}, \"batchSize\": {size}}}");
            let request = client.post("/batches").header(ContentType::JSON).body(body);
            let began = Instant::now();
            let answer = request.dispatch().await.into_json::<serde_json::Value>().await.ok_or("no answer")?;
            figures.push(began.elapsed().as_secs_f64() * 1e3);
            service(&client).cancel(answer["batchId"].as_i64().ok_or("no id")?).await?;
        }
        print_median_ms(&format!("{quantity} items, {} jobs", quantity / size), &mut figures[1..]);
    }
    println!();
    client.terminate().await;
    Ok(())
}

/// The duration of reading the progress of a batch of 1,000 jobs, while it is open and when it is
/// finished.
async fn progress(url: &str) -> Result<()> {
    let client = launch(url, &postgres::a_schema(), 5_000).await?;
    println!("GET progress of 1,000 jobs, milliseconds, median of 200 (least to most):");
    let options = ItemOptions { batch_size: 1_000, ..ItemOptions::default() };
    service(&client).create_product_items_async(1, 1_000_000, options).await?;
    service(&client).pause(1).await?;
    time_reads(&client, "paused").await?;
    service(&client).resume(1).await?;
    service(&client).until_finished(1, Duration::from_secs(600)).await?;
    time_reads(&client, "completed").await?;
    client.terminate().await;
    Ok(())
}

async fn time_reads(client: &Client, what: &str) -> Result<()> {
    let mut figures = Vec::new();
    for _ in 0..201 {
        let began = Instant::now();
        client.get("/batches/1/progress").dispatch().await.into_bytes().await.ok_or("no answer")?;
        figures.push(began.elapsed().as_secs_f64() * 1e3);
    }
    print_median_ms(what, &mut figures[1..]);
    Ok(())
}
