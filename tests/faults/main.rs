//! The whole plugin on a PostgreSQL server that is treated badly from outside.

#[path = "../servers/postgres.rs"]
mod servers;

use std::{error::Error, time::Duration};

use rocket::{figment::providers::Serialized, local::asynchronous::Client};
use rocket_batch::{Batch, BatchService, BatchStatus, ItemOptions, Progress};
use servers::Server;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

/// A plugin whose chunks are so small that there is time to break things.
async fn plugin(url: &str) -> TestResult<Client> {
    let figment = rocket::Config::figment()
        .merge(("log_level", "off"))
        .merge(Serialized::global("databases.batch.url", url))
        .merge(Serialized::global("batch.chunk_size", 5))
        .merge(Serialized::global("batch.generate.rate_limit", "off"));
    Ok(Client::untracked(rocket::custom(figment).attach(Batch::fairing().public())).await?)
}

fn service(client: &Client) -> &BatchService {
    BatchService::fetch(client.rocket()).expect("the fairing is attached")
}

async fn until(client: &Client, so: impl Fn(&Progress) -> bool) -> TestResult<Progress> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        // Looking fails while the server is away.
        match service(client).get_batch_job_progress(1).await {
            Ok(progress) if so(&progress) => return Ok(progress),
            seen if Instant::now() > deadline => return Err(format!("still {seen:?}").into()),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn check(url: &str, items: i64) -> TestResult {
    let outside = servers::client(url).await;
    let counts = "SELECT count(*), count(DISTINCT ordinal), count(DISTINCT code), min(ordinal), max(ordinal)
        FROM rocket_batch.items";
    let row = outside.query_one(counts, &[]).await?;
    let counted: Vec<i64> = (0..5).map(|at| row.get(at)).collect();
    assert_eq!(counted, [items, items, items, 0, items - 1]);
    let spent = outside.query_one("SELECT sum(attempts), sum(crashes) FROM rocket_batch.jobs", &[]).await?;
    assert_eq!((spent.get::<_, i64>(0), spent.get::<_, i64>(1)), (0, 0), "attempts and crashes");
    Ok(())
}

/// While 200,000 items are made, connections are ended one after another, and at each quarter the
/// server is restarted or killed.
#[rocket::async_test]
async fn a_batch_is_made_on_a_server_that_keeps_failing() -> TestResult {
    let mut server = Server::start();
    let client = plugin(server.url()).await?;
    let options = ItemOptions { batch_size: 2_000, ..ItemOptions::default() };
    service(&client).create_product_items_async(1, 200_000, options).await?;
    let over = CancellationToken::new();
    let terminating = tokio::spawn(terminate_one_after_another(server.url().to_owned(), over.clone()));

    for (made, fault) in [(50_000, "fast"), (100_000, "crash"), (150_000, "immediate")] {
        let progress = until(&client, |progress| progress.items_created >= made).await?;
        assert!(!progress.status.is_over(), "the faults came too late");
        tokio::task::block_in_place(|| server.order(fault));
    }
    let progress = until(&client, |progress| progress.status.is_over()).await?;
    over.cancel();
    let terminated = terminating.await?;

    println!("{terminated} connections were ended");
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 200_000));
    assert!(terminated > 20, "only {terminated} connections were ended");
    check(server.url(), 200_000).await?;
    client.terminate().await;
    Ok(())
}

/// Every 100 ms, on a connection of its own that may fail as well.
async fn terminate_one_after_another(url: String, over: CancellationToken) -> u64 {
    let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'rocket_batch' ORDER BY random() LIMIT 1";
    let mut terminated = 0;
    while !over.is_cancelled() {
        if let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            let connection = tokio::spawn(connection);
            terminated += client.query(one, &[]).await.map_or(0, |ended| ended.len() as u64);
            connection.abort();
        }
        sleep(Duration::from_millis(100)).await;
    }
    terminated
}

/// The launch says which server does not answer, and nothing of the password.
#[rocket::async_test]
async fn a_launch_without_a_server_fails() {
    let Err(error) = plugin("postgres://me:secret@127.0.0.1:1/db").await else { panic!("nobody listens there") };

    assert!(!error.to_string().contains("secret"), "{error}");
}

/// Work waits in place for a server that is away for a while, and says so.
#[rocket::async_test]
async fn while_the_server_is_away_work_waits_and_spends_nothing() -> TestResult {
    let mut server = Server::start();
    let client = plugin(server.url()).await?;
    let options = ItemOptions { batch_size: 2_000, ..ItemOptions::default() };
    service(&client).create_product_items_async(1, 50_000, options).await?;
    while service(&client).get_batch_job_progress(1).await?.items_created == 0 {
        sleep(Duration::from_millis(5)).await;
    }

    server.order("stop");
    let away = service(&client).get_batch_job_progress(1).await;
    sleep(Duration::from_secs(3)).await;
    server.order("start");

    assert!(matches!(away, Err(rocket_batch::BatchError::Unavailable(_))), "{away:?}");
    assert_eq!(until(&client, |progress| progress.status.is_over()).await?.status, BatchStatus::Completed);
    check(server.url(), 50_000).await?;
    client.terminate().await;
    Ok(())
}
