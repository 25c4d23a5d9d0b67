//! The plugin with a PostgreSQL server that fails in several ways.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use rocket::{figment::providers::Serialized, local::asynchronous::Client};
use rocket_batch::{Batch, BatchError, BatchStatus, ItemOptions, Progress};
use support::{
    TestResult,
    plugin::{self, service},
    postgres::{self, Server},
    wait::{self, WAIT_TIMEOUT},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Starts a plugin with small chunks, so that batches run long enough for faults.
async fn start(url: &str) -> TestResult<Client> {
    let settings = plugin::settings(url).merge(Serialized::global("batch.chunk_size", 5));
    Ok(plugin::launch(settings, Batch::fairing().public()).await?)
}

/// Waits until the progress of batch 1 meets `condition`. Reads fail while the server is
/// unavailable.
async fn until(client: &Client, condition: impl Fn(&Progress) -> bool) -> TestResult<Progress> {
    let read = || service(client).get_batch_job_progress(1);
    let is_met = |read: &Result<_, BatchError>| read.as_ref().is_ok_and(&condition);
    Ok(wait::until("the progress is as expected", Duration::from_secs(120), read, is_met).await??)
}

async fn check(url: &str, items: i64) -> TestResult {
    let outside = postgres::client(url).await;
    let counts = "SELECT count(*), count(DISTINCT ordinal), count(DISTINCT code), min(ordinal), max(ordinal)
        FROM rocket_batch.items";
    let row = outside.query_one(counts, &[]).await?;
    let counted: Vec<i64> = (0..5).map(|at| row.get(at)).collect();
    assert_eq!(counted, [items, items, items, 0, items - 1]);
    let spent = outside.query_one("SELECT sum(attempts), sum(crashes) FROM rocket_batch.jobs", &[]).await?;
    assert_eq!((spent.get::<_, i64>(0), spent.get::<_, i64>(1)), (0, 0), "attempts and crashes");
    Ok(())
}

/// While 200,000 items are generated, connections are terminated one after another, and at each
/// quarter the server is restarted or killed.
#[rocket::async_test]
async fn completes_a_batch_on_a_server_that_keeps_failing() -> TestResult {
    let mut server = Server::start();
    let client = start(server.url()).await?;
    let options = ItemOptions { batch_size: 2_000, ..ItemOptions::default() };
    service(&client).create_product_items_async(1, 200_000, options).await?;
    let finished = CancellationToken::new();
    let terminating = tokio::spawn(terminate_one_after_another(server.url().to_owned(), finished.clone()));

    for (created, fault) in [(50_000, "fast"), (100_000, "crash"), (150_000, "immediate")] {
        let progress = until(&client, |progress| progress.items_created >= created).await?;
        assert!(!progress.status.is_finished(), "the faults came too late");
        tokio::task::block_in_place(|| server.order(fault));
    }
    let progress = until(&client, |progress| progress.status.is_finished()).await?;
    finished.cancel();
    let terminated = terminating.await?;

    println!("{terminated} connections were terminated");
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 200_000));
    assert!(terminated > 20, "only {terminated} connections were terminated");
    check(server.url(), 200_000).await?;
    client.terminate().await;
    Ok(())
}

/// Terminates a connection every 100 ms, on a connection of its own that may fail too.
async fn terminate_one_after_another(url: String, finished: CancellationToken) -> u64 {
    let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'rocket_batch' ORDER BY random() LIMIT 1";
    let mut terminated = 0;
    while !finished.is_cancelled() {
        if let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            let connection = tokio::spawn(connection);
            terminated += client.query(one, &[]).await.map_or(0, |rows| rows.len() as u64);
            connection.abort();
        }
        sleep(Duration::from_millis(100)).await;
    }
    terminated
}

/// The error names the server and does not contain the password.
#[rocket::async_test]
async fn fails_to_launch_without_a_server() {
    let Err(error) = start("postgres://me:secret@127.0.0.1:1/db").await else { panic!("no server listens on port 1") };

    assert!(!error.to_string().contains("secret"), "{error}");
}

/// The server is unavailable for three seconds.
#[rocket::async_test]
async fn waits_for_an_unavailable_server_without_using_up_attempts() -> TestResult {
    let mut server = Server::start();
    let client = start(server.url()).await?;
    let options = ItemOptions { batch_size: 2_000, ..ItemOptions::default() };
    service(&client).create_product_items_async(1, 50_000, options).await?;
    let progress = || service(&client).get_batch_job_progress(1);
    wait::try_until("an item exists", WAIT_TIMEOUT, progress, |progress| progress.items_created > 0).await?;

    server.order("stop");
    let away = service(&client).get_batch_job_progress(1).await;
    sleep(Duration::from_secs(3)).await;
    server.order("start");

    assert!(matches!(away, Err(BatchError::Unavailable(_))), "{away:?}");
    assert_eq!(until(&client, |progress| progress.status.is_finished()).await?.status, BatchStatus::Completed);
    check(server.url(), 50_000).await?;
    client.terminate().await;
    Ok(())
}
