//! What the hosts of this folder share: an app with batches, and its first batch.
//!
//! Each host adds a database library of its own, and asks it one question. Both must be linked into
//! one program.

use std::{error::Error, time::Duration};

use rocket::{Build, Rocket, figment::Figment, local::asynchronous::Client};
use rocket_batch::{Batch, BatchService, BatchStatus, config};

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Settings with a ledger in memory.
pub fn settings() -> Figment {
    rocket::Config::figment().merge(("log_level", "off")).merge(config::testing())
}

/// The same, and a database `shop` of the host at `url`.
#[allow(dead_code, reason = "some hosts open their database without Rocket")]
pub fn settings_with(url: &str) -> Figment {
    settings().merge(("databases.shop.url", url))
}

/// A database in the server that the tests have started.
#[allow(dead_code, reason = "some hosts use SQLite")]
pub fn postgres() -> Result<String> {
    Ok(std::env::var("ROCKET_BATCH_TEST_POSTGRES").map_err(|_| "start this with tests/compat/run")?)
}

/// Opens the app with the batches, and completes one.
pub async fn open(rocket: Rocket<Build>) -> Result<Client> {
    let client = Client::untracked(rocket.attach(Batch::fairing().public())).await?;
    let batches = BatchService::fetch(client.rocket()).ok_or("the fairing is not attached")?;
    batches.create_product_items_async(7, 300, batches.default_options()).await?;
    let progress = batches.until_finished(7, Duration::from_secs(60)).await?;
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 300));
    Ok(client)
}

/// Checks the answer of the host's own database, and closes the app.
pub async fn close(client: Client, answer: i64) -> Result {
    assert_eq!(answer, 42, "the host's own database");
    client.terminate().await;
    println!("completed a batch of 300 items beside {}", env!("CARGO_PKG_NAME"));
    Ok(())
}
