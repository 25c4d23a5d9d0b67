//! Voucher codes: creates a batch, watches it until it is finished, lists the first codes, and
//! ends.
//!
//! ```sh
//! cargo run --release --example vouchers
//! ```
//!
//! You see a line every second while 1,000 codes are written, which takes 10 seconds under the
//! default rate limit of 5 jobs (of 100 codes each) per 10 seconds, and then five codes such as
//! `GIFT-8H8M0CDWFVJCWCS1GXNWWS8318`. Without the limit it takes a fraction of a second:
//!
//! ```sh
//! ROCKET_BATCH__GENERATE__RATE_LIMIT=off cargo run --release --example vouchers
//! ```
//!
//! The ledger is in memory, so nothing is left behind.

use std::time::Duration;

use rocket::{Orbit, Rocket, fairing::AdHoc, launch, tokio};
use rocket_batch::{Batch, BatchError, BatchService, BatchStatus, ItemOptions, PageQuery};

/// Creates vouchers and prints the first five.
async fn print_vouchers(batches: BatchService) -> Result<(), BatchError> {
    let options = ItemOptions { qr_code_prefix: Some("GIFT".into()), ..batches.default_options() };
    let accepted = batches.create_product_items_async(None, 1_000, options).await?;
    let id = accepted.batch_id.get();
    println!("Batch {id} is accepted; it will take about {}.", accepted.estimated_duration);

    loop {
        let progress = batches.get_batch_job_progress(id).await?;
        println!("{}: {} of {} codes", progress.status, progress.items_created, progress.items_total);
        if !matches!(progress.status, BatchStatus::Pending | BatchStatus::Running) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let first = batches.items(id, PageQuery { limit: Some(5), ..PageQuery::default() }).await?;
    for item in first.items {
        println!("{}", item.code);
    }
    Ok(())
}

/// Starts once the workers run, and shuts Rocket down at the end.
fn run(rocket: &Rocket<Orbit>) {
    let batches = BatchService::fetch(rocket).expect("the fairing is attached").clone();
    let shutdown = rocket.shutdown();
    tokio::spawn(async move {
        if let Err(error) = print_vouchers(batches).await {
            eprintln!("{error}");
        }
        shutdown.notify();
    });
}

#[launch]
fn rocket() -> _ {
    let settings = rocket::Config::figment().merge(("databases.batch.url", "sqlite://:memory:"));
    rocket::custom(settings)
        .attach(Batch::fairing().public())
        .attach(AdHoc::on_liftoff("Vouchers", |rocket| Box::pin(async { run(rocket) })))
}
