//! `ledger`: the ledger in PostgreSQL alone, without a queue, beside plain inserts of the same
//! rows.
//!
//! Each task works one job after another: jobs of 100 items, in two chunks of 50. For comparison,
//! the same number of connections insert the same rows, each chunk in a transaction of its own,
//! without a ledger. The codes are computed beforehand on both sides.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rocket_batch::{
    domain::{BatchId, JobId},
    ledger::{AttemptResult, Claimed, FirstChunk, LastChunk, Ledger, NewItem},
};
use tokio::task::JoinSet;

use crate::{
    Scope,
    figures::{Result, median},
    report::{Table, spread},
    site::{Servers, Site, codes},
    work::BatchOf,
};

const ITEMS_PER_JOB: u64 = 100;
const CHUNK: usize = 50;

/// Number of concurrent tasks, and of connections.
const TASKS: [u32; 2] = [2, 16];

/// The id of the first batch in a ledger.
const BATCH: i64 = 1;

/// A job, and its chunks.
struct Prepared {
    job: JobId,
    chunks: Vec<Arc<[NewItem]>>,
}

/// Jobs that no task has taken yet.
type Jobs = Arc<Mutex<std::vec::IntoIter<Prepared>>>;

/// Figures of both sides, round by round, in items/s.
#[derive(Default)]
struct Measured {
    ledger: Vec<f64>,
    plain: Vec<f64>,
    deadlocks: i64,
}

pub async fn run(scope: Scope) -> Result<()> {
    let servers = Servers::postgres();
    let jobs = scope.pick(200, 4_000);
    let title = format!("The ledger alone: {jobs} jobs of {ITEMS_PER_JOB} items in chunks of {CHUNK}");
    let columns = ["concurrency", "ledger, items/s", "plain inserts, items/s", "ledger / plain", "deadlocks"];
    let mut table = Table::new(title, &columns);
    for tasks in TASKS {
        let mut measured = compare(&servers, scope, tasks, jobs).await?;
        let ratio = median(&mut measured.ledger) / median(&mut measured.plain);
        let (ledger, plain) = (spread(&mut measured.ledger), spread(&mut measured.plain));
        table.row(&[&tasks, &ledger, &plain, &format!("{ratio:.2}"), &measured.deadlocks]);
    }
    table.print();
    Ok(())
}

async fn compare(servers: &Servers, scope: Scope, tasks: u32, jobs: u64) -> Result<Measured> {
    let (mut measured, before) = (Measured::default(), servers.deadlocks().await?);
    let items = (jobs * ITEMS_PER_JOB) as f64;
    for _ in 0..scope.rounds {
        measured.ledger.push(items / time_ledger(servers.site()?, tasks, jobs).await?.as_secs_f64());
        measured.plain.push(items / time_plain_inserts(servers.site()?, tasks, jobs).await?.as_secs_f64());
    }
    measured.deadlocks = servers.deadlocks().await? - before;
    Ok(measured)
}

async fn time_ledger(site: Site<'_>, tasks: u32, jobs: u64) -> Result<Duration> {
    let ledger = site.ledger(tasks).await?;
    let batch = BatchOf { jobs, items_per_job: ITEMS_PER_JOB };
    ledger.create(batch.planned()?).await?;
    let jobs = prepare(jobs)?;
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (ledger, jobs) = (ledger.clone(), jobs.clone());
        running.spawn(async move {
            while let Some(job) = next(&jobs) {
                work_job(&*ledger, job).await?;
            }
            Ok(())
        });
    }
    join(running).await?;
    let took = began.elapsed();
    ledger.shutdown().await;
    site.remove().await?;
    Ok(took)
}

/// Works one job from its claim to its end, as a worker does.
async fn work_job(ledger: &dyn Ledger, Prepared { job, chunks }: Prepared) -> Result<()> {
    let began = Instant::now();
    let first_chunk = FirstChunk {
        range: job.seq * ITEMS_PER_JOB..(job.seq + 1) * ITEMS_PER_JOB,
        prefix: None,
        key_fingerprint: codes().fingerprint().to_owned(),
        items: chunks[0].clone(),
    };
    let Claimed::Work(work) = ledger.claim_and_insert(job.into(), first_chunk).await? else {
        return Err(format!("job {job} could not be claimed").into());
    };
    let came_with_the_claim =
        chunks.len() as u64 * CHUNK as u64 - work.missing.iter().map(|gap| gap.end - gap.start).sum::<u64>();
    for items in chunks.into_iter().skip(came_with_the_claim as usize / CHUNK) {
        if ledger.insert_and_complete(&work.claim, items.clone(), began.elapsed()).await? == LastChunk::Completed {
            return Ok(());
        }
        ledger.insert_chunk(&work.claim, items).await?;
    }
    ledger.finish_attempt(&work.claim, AttemptResult::Completed, began.elapsed()).await?;
    Ok(())
}

async fn time_plain_inserts(site: Site<'_>, tasks: u32, jobs: u64) -> Result<Duration> {
    // Opens a ledger only to create its tables.
    site.ledger(1).await?.shutdown().await;
    let jobs = prepare(jobs)?;
    let mut clients = Vec::new();
    for _ in 0..tasks {
        clients.push(site.postgres().await?);
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(insert_jobs(client, jobs.clone()));
    }
    join(running).await?;
    let took = began.elapsed();
    site.remove().await?;
    Ok(took)
}

async fn insert_jobs(client: tokio_postgres::Client, jobs: Jobs) -> Result<()> {
    let insert = "INSERT INTO items (batch, ordinal, code) SELECT 1, * FROM unnest($1::bigint[], $2::text[])";
    let insert = client.prepare(insert).await?;
    while let Some(job) = next(&jobs) {
        for items in job.chunks {
            let ordinals: Vec<i64> = items.iter().map(|item| item.ordinal as i64).collect();
            let codes: Vec<&str> = items.iter().map(|item| item.code.as_str()).collect();
            client.execute(&insert, &[&ordinals, &codes]).await?;
        }
    }
    Ok(())
}

fn prepare(jobs: u64) -> Result<Jobs> {
    let (codes, batch) = (codes(), BatchId::new(BATCH)?);
    let item = |ordinal| NewItem { ordinal, code: codes.encode(None, batch, ordinal) };
    let prepared: Vec<_> = (0..jobs)
        .map(|seq| {
            let items: Vec<NewItem> = (seq * ITEMS_PER_JOB..(seq + 1) * ITEMS_PER_JOB).map(item).collect();
            let chunks = items.chunks(CHUNK).map(Into::into).collect();
            Prepared { job: JobId { batch, seq, generation: 0 }, chunks }
        })
        .collect();
    Ok(Arc::new(Mutex::new(prepared.into_iter())))
}

fn next(jobs: &Jobs) -> Option<Prepared> {
    jobs.lock().expect("no code panics while holding this lock").next()
}

/// Waits for all tasks; the first error ends them.
async fn join(mut running: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
