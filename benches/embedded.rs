//! The speed of the embedded default: `cargo bench --bench embedded`.
//!
//! Each case alternates with its counterpart in the same run, because a single figure says more
//! about the machine than about the crate. Prints medians with minimum and maximum.

mod figures;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use figures::{ROUNDS, Result, print_median, print_median_ms};
use rocket::{figment::providers::Serialized, http::ContentType, local::asynchronous::Client};
use rocket_batch::{
    Batch, BatchStatus, ItemOptions,
    domain::{BatchId, CodeKey, CodeScheme},
};
use rusqlite::Connection;
use support::plugin::{self, service};
use tempfile::TempDir;

const ITEMS: u64 = 1_000_000;
const CHUNK: u64 = 1_000;

#[rocket::main]
async fn main() -> Result<()> {
    throughput().await?;
    posts().await?;
    reads().await
}

/// A plugin on a file in `folder`, without a rate limit.
async fn launch(folder: &Path) -> Result<Client> {
    let settings = plugin::settings(&plugin::sqlite_url(folder))
        .merge(Serialized::global("batch.chunk_size", CHUNK))
        .merge(Serialized::global("batch.batch_size", 10_000));
    Ok(plugin::launch(settings, Batch::fairing().public()).await?)
}

/// Items per second from the call to the end of the batch, compared with a plain loop of prepared
/// inserts of the same rows.
async fn throughput() -> Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let end_to_end = end_to_end().await?;
        let loop_alone = bare_loop().await?;
        // The first one warms up.
        if round > 0 {
            ours.push(ITEMS as f64 / end_to_end.as_secs_f64());
            bare.push(ITEMS as f64 / loop_alone.as_secs_f64());
        }
    }
    println!("{ITEMS} items into SQLite, {CHUNK} a transaction, {ROUNDS} rounds, items/s (least to most):");
    let ratio = print_median("rocket_batch, end to end", &mut ours) / print_median("bare prepared inserts", &mut bare);
    println!("  ratio {ratio:.2}\n");
    Ok(())
}

async fn end_to_end() -> Result<Duration> {
    let folder = TempDir::new()?;
    let client = launch(folder.path()).await?;
    let options = service(&client).default_options();
    let began = Instant::now();
    service(&client).create_product_items_async(1, ITEMS, options).await?;
    let progress = service(&client).until_finished(1, Duration::from_secs(600)).await?;
    let took = began.elapsed();
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, ITEMS));
    client.terminate().await;
    Ok(took)
}

/// The same rows in the same tables, inserted by the database alone. The codes are made before.
async fn bare_loop() -> Result<Duration> {
    let folder = TempDir::new()?;
    launch(folder.path()).await?.terminate().await;
    let mut connection = Connection::open(folder.path().join("batch.db"))?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    let (codes, batch) = (CodeScheme::new(&CodeKey::from_bytes([7; 16])), BatchId::new(1)?);
    let codes: Vec<_> = (0..ITEMS).map(|ordinal| codes.encode(None, batch, ordinal)).collect();
    let began = Instant::now();
    for (chunk, codes) in codes.chunks(CHUNK as usize).enumerate() {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO rocket_batch_items (batch, ordinal, code, created_at) VALUES (1, ?1, ?2, 0)",
        )?;
        for (ordinal, code) in (chunk as i64 * CHUNK as i64..).zip(codes) {
            insert.execute((ordinal, code))?;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(began.elapsed())
}

/// The duration of a create by size of the batch. The queue is paused, so that nothing else runs.
async fn posts() -> Result<()> {
    let folder = TempDir::new()?;
    let client = launch(folder.path()).await?;
    println!("POST, milliseconds, median of 20 (least to most):");
    let mut medians = Vec::new();
    for (quantity, size) in [(1_000, 10), (100_000, 100), (10_000_000, 10_000)] {
        let mut figures = Vec::new();
        for _ in 0..21 {
            let body = format!("{{\"quantity\": {quantity}, \"batchSize\": {size}}}");
            let request = client.post("/batches").header(ContentType::JSON).body(body);
            let began = Instant::now();
            let answer = request.dispatch().await.into_json::<serde_json::Value>().await.ok_or("no answer")?;
            figures.push(began.elapsed().as_secs_f64() * 1e3);
            let id = answer["batchId"].as_i64().ok_or("no id")?;
            service(&client).cancel(id).await?;
        }
        let jobs = quantity / size;
        medians.push(print_median_ms(&format!("{quantity} items, {jobs} jobs"), &mut figures[1..]));
    }
    println!("  ratio of 10,000,000 to 100,000 items: {:.2}\n", medians[2] / medians[1]);
    client.terminate().await;
    Ok(())
}

/// The duration of a read with 10,000 and with 5,000,000 items present.
async fn reads() -> Result<()> {
    let folder = TempDir::new()?;
    let client = launch(folder.path()).await?;
    println!("reading, milliseconds, median of 200 (least to most):");
    let few = read_with(&client, 1, 10_000).await?;
    let many = read_with(&client, 2, 5_000_000).await?;
    for (what, (few, many)) in ["progress", "first page", "last page", "item by code"].iter().zip(few.iter().zip(&many))
    {
        println!("  ratio of {what}: {:.2}", many / few);
    }
    client.terminate().await;
    Ok(())
}

/// Adds a batch of `quantity` items, then reads of it.
async fn read_with(client: &Client, id: i64, quantity: u64) -> Result<Vec<f64>> {
    let options = ItemOptions { batch_size: quantity.div_ceil(1_000), ..ItemOptions::default() };
    service(client).create_product_items_async(id, quantity, options).await?;
    service(client).until_finished(id, Duration::from_secs(600)).await?;
    let near_the_end = data_encoding::BASE64URL_NOPAD.encode(format!("items:{id}:{}", quantity - 101).as_bytes());
    let last = format!("/batches/{id}/items?cursor={near_the_end}");
    let page = client.get(&last).dispatch().await.into_json::<serde_json::Value>().await.ok_or("no page")?;
    let code = page["items"][99]["code"].as_str().ok_or("no code")?.to_owned();
    let paths = [
        ("progress", format!("/batches/{id}/progress")),
        ("first page of 100", format!("/batches/{id}/items")),
        ("last page of 100", last),
        ("item by code", format!("/batches/items/{code}")),
    ];
    let mut medians = Vec::new();
    for (what, path) in paths {
        let mut figures = Vec::new();
        for _ in 0..201 {
            let began = Instant::now();
            black_box(client.get(&path).dispatch().await.into_bytes().await.ok_or("no answer")?);
            figures.push(began.elapsed().as_secs_f64() * 1e3);
        }
        medians.push(print_median_ms(&format!("{what}, {quantity} items"), &mut figures[1..]));
    }
    Ok(medians)
}
