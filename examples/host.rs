//! A small shop that has its product items made in the background.
//!
//! `cargo run --release --example host`, and follow what it prints. Nothing needs to be installed: the ledger is the file `batch.db` in
//! the working directory, the queues are in this process.
//!
//! Settings come from `examples/Rocket.toml`, or from the file that `ROCKET_CONFIG` names, and then from `ROCKET_*` and
//! `ROCKET_BATCH__*` in the environment.

use rocket::{
    Request,
    fairing::AdHoc,
    figment::{
        Figment, Profile,
        providers::{Env, Format, Toml},
    },
    get,
    http::Status,
    launch, post,
    request::{FromRequest, Outcome},
    routes,
    serde::json::Json,
};
use rocket_batch::{Batch, BatchAccepted, BatchError, BatchFinished, BatchService, ItemOptions};
use tracing_subscriber::EnvFilter;

/// Who may use the batch routes. A real shop asks its own login here.
struct Admin;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Admin {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match request.headers().get_one("Authorization") {
            Some("Bearer let-me-in") => Outcome::Success(Self),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// The shop keeps its own product batches; their items are made in the background.
#[post("/product-batches/<id>/items")]
async fn fill(_admin: Admin, id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
    let options = ItemOptions { qr_code_prefix: Some("QR".into()), ..batches.default_options() };
    Ok(Json(batches.create_product_items_async(id, 5_000, options).await?))
}

#[get("/")]
fn index() -> &'static str {
    "A shop. Its items are made under /batches; see /batches/health/ready.\n"
}

/// The shop is told of every batch that is over.
async fn shelve(end: BatchFinished) -> Result<(), std::io::Error> {
    println!("The shop was told: batch {} is {} with {} items.", end.batch_id, end.status, end.items_created);
    Ok(())
}

#[launch]
fn rocket() -> _ {
    // Before `rocket::build()`, so that Rocket's own lines go the same way. A filter matches by prefix, hence the third part.
    let usual = || EnvFilter::new("info,rocket=warn,rocket_batch=info");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).init();

    rocket::custom(settings())
        .attach(Batch::fairing().guard::<Admin>().on_batch_finished(shelve))
        .attach(AdHoc::on_liftoff("Welcome", |rocket| Box::pin(async move { welcome(rocket.config()) })))
        .mount("/", routes![index, fill])
}

/// Rocket's own, but with a file that is found whatever the working directory.
fn settings() -> Figment {
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/Rocket.toml");
    let file = std::env::var("ROCKET_CONFIG").unwrap_or_else(|_| ours.into());
    Figment::from(rocket::Config::default())
        .merge(Toml::file(file).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE", "CONFIG"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE))
}

fn welcome(config: &rocket::Config) {
    let at = format!("http://{}:{}", config.address, config.port);
    println!("The shop is open at {at}. Make 100,000 items:");
    println!();
    println!("  curl -X POST {at}/batches -H 'Authorization: Bearer let-me-in' \\");
    println!("       -H 'Content-Type: application/json' -d '{{\"quantity\": 100000}}'");
    println!();
    println!("and look, with the same token, at {at}/batches/1/progress and {at}/batches/1/items.");
}
