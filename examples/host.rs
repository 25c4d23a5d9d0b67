//! A small shop that generates its product items in the background.
//!
//! Run `cargo run --release --example host` and follow what it prints. You install nothing: the
//! ledger is the file `batch.db` in the working directory, and the queues are in this process.
//!
//! With `--features prometheus` each process serves its metrics at `/batches/metrics`.
//!
//! Environment variables scale it out:
//!
//! | variable | effect |
//! |---|---|
//! | `ROCKET_DATABASES='{batch={url="postgres://…/shop"}}'` | ledger and shop table in PostgreSQL |
//! | `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD`, `REDIS_DB` | queues in Redis, for any number of processes |
//! | `ROCKET_BATCH__ROLE=web` | this process serves and runs no jobs |
//! | `ROCKET_BATCH__ROLE=worker` | this process runs jobs and serves the health probes only |
//! | `ROCKET_PORT=8001` | the port, when several run on one machine |
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:4318/v1/traces` | spans go to this collector |
//!
//! `docs/compose.yml` puts these together: one web process and two workers, with both servers.
//!
//! The shop has its own table, `products`, in the same database. Its item writer fills that table
//! in the transactions that insert the items, so both tables always agree. To see a failure, let
//! the shop run out of labels at one item (each request needs the token):
//!
//! ```text
//! POST   /shortage/57              rejects item 57 of every batch: "out of labels at 57"
//! POST   /batches                  {"quantity": 2000, "batchSize": 1000}
//! GET    /batches/1/failed-jobs    the chunk with item 57 failed in 3 attempts, 3 times each;
//!                                  all other chunks are written
//! DELETE /shortage                 the shop has labels again
//! POST   /batches/1/retry          generates the missing items and nothing else
//! ```
//!
//! Settings come from `examples/Rocket.toml`, or from the file that `ROCKET_CONFIG` names, and then
//! from `ROCKET_*` and `ROCKET_BATCH__*` in the environment.

#[path = "otlp/mod.rs"]
mod otlp;

use std::sync::{Arc, Mutex, PoisonError};

use otlp::{Exporter, OpenTelemetry};

use rocket::{
    Request, State, delete,
    fairing::AdHoc,
    figment::{
        Figment, Profile,
        providers::{Env, Format, Toml},
    },
    futures::{FutureExt, future::BoxFuture},
    get,
    http::Status,
    launch, post,
    request::{FromRequest, Outcome},
    routes,
    serde::json::Json,
};
use rocket_batch::{
    Batch, BatchAccepted, BatchConnection, BatchError, BatchFinished, BatchService, BoxError, HookContext, ItemContext,
    ItemOptions, NewItemRow,
    postgres::{self, tokio_postgres::Transaction},
    sqlite::{self, rusqlite::Connection},
};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// The guard of the batch routes. A real shop checks its own login here.
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

/// Generates the items of one of the shop's product batches in the background.
#[post("/product-batches/<id>/items")]
async fn fill(_admin: Admin, id: i64, batches: BatchService) -> Result<Json<BatchAccepted>, BatchError> {
    let options = ItemOptions { qr_code_prefix: Some("QR".into()), ..batches.default_options() };
    Ok(Json(batches.create_product_items_async(id, 5_000, options).await?))
}

/// The shop's own rows, one for each item.
const PRODUCTS: &str = "CREATE TABLE IF NOT EXISTS products (
    batch BIGINT, ordinal BIGINT, label TEXT NOT NULL, PRIMARY KEY (batch, ordinal)
)";

/// Creates the shop's table before any worker starts.
async fn create_products_table(mut db: BatchConnection) -> Result<(), BoxError> {
    db.either(
        async |db| Ok::<_, BoxError>(db.interact_mut(|db| db.execute_batch(PRODUCTS)).await?),
        async |db| Ok(db.batch_execute(PRODUCTS).await?),
    )
    .await
}

/// Puts a label on every new item, unless labels have run out.
#[derive(Clone, Default)]
struct Stockroom {
    /// The ordinal that has no label, in every batch.
    out_at: Arc<Mutex<Option<u64>>>,
}

impl Stockroom {
    fn run_out_at(&self, ordinal: Option<u64>) {
        *self.out_at.lock().unwrap_or_else(PoisonError::into_inner) = ordinal;
    }

    fn check(&self, items: &[NewItemRow<'_>]) -> Result<(), BoxError> {
        let out_at = *self.out_at.lock().unwrap_or_else(PoisonError::into_inner);
        match items.iter().find(|item| out_at == Some(item.ordinal)) {
            None => Ok(()),
            Some(item) => Err(format!("out of labels at {}", item.ordinal).into()),
        }
    }
}

impl sqlite::ItemWriter for Stockroom {
    fn write(&self, transaction: &Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>) -> Result<(), BoxError> {
        self.check(items)?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO products (batch, ordinal, label) VALUES (?1, ?2, ?3)")?;
        for item in items {
            insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
        }
        Ok(())
    }
}

impl postgres::ItemWriter for Stockroom {
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
        _: &'a ItemContext<'a>,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        async move {
            self.check(items)?;
            let batches: Vec<_> = items.iter().map(|item| item.batch_id.get()).collect();
            let ordinals: Vec<_> = items.iter().map(|item| item.ordinal as i64).collect();
            let labels: Vec<_> = items.iter().map(|item| item.code).collect();
            let insert = "INSERT INTO products SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])";
            transaction.execute(insert, &[&batches, &ordinals, &labels]).await?;
            Ok(())
        }
        .boxed()
    }
}

/// Rejects this item of every batch from now on.
#[post("/shortage/<ordinal>")]
fn run_out(_admin: Admin, ordinal: u64, stockroom: &State<Stockroom>) -> String {
    stockroom.run_out_at(Some(ordinal));
    format!("The shop is out of labels at {ordinal}.\n")
}

/// Ends the shortage.
#[delete("/shortage")]
fn restock(_admin: Admin, stockroom: &State<Stockroom>) -> &'static str {
    stockroom.run_out_at(None);
    "The shop has labels again.\n"
}

#[get("/")]
fn index() -> &'static str {
    "A shop. It generates its items under /batches; see /batches/health/ready.\n"
}

/// Called for every finished batch.
async fn print_result(end: BatchFinished, _: HookContext) -> Result<(), std::io::Error> {
    println!("Batch {} finished: {}, {} items.", end.batch_id, end.status, end.items_created);
    Ok(())
}

#[launch]
fn rocket() -> _ {
    let exporter = exporter();
    log_and_trace(exporter.as_ref());

    let stockroom = Stockroom::default();
    let batches = Batch::fairing()
        .guard::<Admin>()
        .on_ledger_ready(create_products_table)
        .on_batch_finished(print_result)
        .sqlite_item_writer(stockroom.clone())
        .postgres_item_writer(stockroom.clone());
    let batches = if exporter.is_some() { batches.traces(OpenTelemetry) } else { batches };
    rocket::custom(settings())
        .attach(batches)
        .attach(AdHoc::on_liftoff("Welcome", |rocket| Box::pin(async move { welcome(rocket.config()) })))
        .manage(stockroom)
        .manage(exporter)
        .mount("/", routes![index, fill, run_out, restock])
}

/// The exporter of spans, if there is a collector.
fn exporter() -> Option<Exporter> {
    let endpoint = std::env::var("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").ok()?;
    Some(Exporter::to(&endpoint).expect("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is a URL"))
}

/// Set before Rocket starts, so that the log receives Rocket's lines too.
fn log_and_trace(exporter: Option<&Exporter>) {
    // A filter matches by prefix: without its third part, `rocket=warn` would apply to
    // `rocket_batch` as well.
    let default = || EnvFilter::new("info,rocket=warn,rocket_batch=info");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| default());
    let log = tracing_subscriber::fmt::layer().with_target(false).with_filter(filter);
    let spans = exporter.map(|exporter| {
        let ours = Targets::new().with_target("rocket_batch", tracing::Level::DEBUG);
        tracing_opentelemetry::layer().with_tracer(exporter.tracer()).with_filter(ours)
    });
    tracing_subscriber::registry().with(log).with(spans).init();
}

/// Rocket's own settings, with a file that is found from any working directory.
fn settings() -> Figment {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/Rocket.toml");
    let file = std::env::var("ROCKET_CONFIG").unwrap_or_else(|_| default.into());
    Figment::from(rocket::Config::default())
        .merge(Toml::file(file).nested())
        .merge(Env::prefixed("ROCKET_").ignore(&["PROFILE", "CONFIG"]).global())
        .select(Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE))
}

fn welcome(config: &rocket::Config) {
    let at = format!("http://{}:{}", config.address, config.port);
    println!("The shop is open at {at}. Generate 100,000 items:");
    println!();
    println!("  curl -X POST {at}/batches -H 'Authorization: Bearer let-me-in' \\");
    println!("       -H 'Content-Type: application/json' -d '{{\"quantity\": 100000}}'");
    println!();
    println!("and watch it in a browser at {at}/batches/dashboard, with the access token let-me-in,");
    println!("or as JSON, with the same token, at {at}/batches/1/progress and {at}/batches/1/items.");
    println!("To see a failure, POST {at}/shortage/57 first, and look at {at}/batches/1/failed-jobs;");
    println!("then DELETE {at}/shortage, and POST {at}/batches/1/retry.");
}
