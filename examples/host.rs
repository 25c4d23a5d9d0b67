//! A small shop that has its product items made in the background.
//!
//! `cargo run --release --example host`, and follow what it prints. Nothing needs to be installed:
//! the ledger is the file `batch.db` in the working directory, the queues are in this process.
//!
//! The environment alone makes more of it:
//!
//! | variable | |
//! |---|---|
//! | `ROCKET_DATABASES='{batch={url="postgres://user:password@localhost/shop"}}'` | the ledger, and the shop's table, are in PostgreSQL |
//! | `REDIS_HOST=localhost`, and `REDIS_PORT`, `REDIS_PASSWORD`, `REDIS_DB` | the queues are in Redis, and any number of processes share them |
//! | `ROCKET_BATCH__ROLE=web`, or `worker` | this process serves and works nothing, or works and serves the health probes only |
//! | `ROCKET_PORT=8001` | where it listens, when several are on one machine |
//!
//! `docs/compose.yml` puts these together: one web process and two workers, with both servers.
//!
//! The shop has a table of its own, `products`, in the same database. Its item writer fills it in
//! the transactions that make the items, so that both tables always agree. To see what a failure
//! looks like, let the shop run out of labels at some item, with the token:
//!
//! ```text
//! POST   /shortage/57               from now on no batch gets its item 57: "out of labels at 57"
//! POST   /batches                   {"quantity": 2000, "batchSize": 1000}
//! GET    /batches/1/failed-jobs     in each of 3 attempts the chunk with item 57 was tried 3 times and set aside; the others are written
//! DELETE /shortage                  there are labels again
//! POST   /batches/1/retry           makes what is missing, and nothing else
//! ```
//!
//! Settings come from `examples/Rocket.toml`, or from the file that `ROCKET_CONFIG` names, and then
//! from `ROCKET_*` and `ROCKET_BATCH__*` in the environment.

use std::sync::{Arc, Mutex, PoisonError};

use rocket::{
    Build, Request, Rocket, State, delete,
    fairing::{self, AdHoc},
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
    Batch, BatchAccepted, BatchConnection, BatchDb, BatchError, BatchFinished, BatchService, BoxError, ItemOptions,
    NewItemRow,
    postgres::{self, tokio_postgres::Transaction},
    sqlite::{self, rusqlite::Connection},
};
use rocket_db_pools::{Database, Pool};
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

/// The shop's own rows, one for each item.
const PRODUCTS: &str = "CREATE TABLE IF NOT EXISTS products (
    batch BIGINT, ordinal BIGINT, label TEXT NOT NULL, PRIMARY KEY (batch, ordinal)
)";

/// Makes the shop's table, before any worker starts.
async fn open_stockroom(rocket: Rocket<Build>) -> fairing::Result {
    let made = async {
        match BatchDb::fetch(&rocket).ok_or("the fairing of the batches is not attached")?.get().await? {
            BatchConnection::Sqlite(db) => db.interact_mut(|db| db.execute_batch(PRODUCTS)).await?,
            // Of processes that start at once, one makes it. The lock ends with these statements.
            BatchConnection::Postgres(db) => {
                db.batch_execute(&format!("SELECT pg_advisory_xact_lock(57); {PRODUCTS}")).await?;
            }
            _ => return Err("the shop knows no other database".into()),
        }
        Ok::<_, BoxError>(())
    };
    match made.await {
        Ok(()) => Ok(rocket),
        Err(error) => {
            tracing::error!(error, "the table of products could not be made");
            Err(rocket)
        }
    }
}

/// Puts a label on every new item, as long as there are labels.
#[derive(Clone, Default)]
struct Stockroom {
    /// The item of each batch that there is no label for.
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
    fn write(&self, transaction: &Connection, items: &[NewItemRow<'_>]) -> Result<(), BoxError> {
        self.check(items)?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO products (batch, ordinal, label) VALUES (?1, ?2, ?3)")?;
        for item in items {
            insert.execute((item.batch_id.get(), item.ordinal, item.code))?;
        }
        Ok(())
    }
}

impl postgres::ItemWriter for Stockroom {
    fn write<'a>(
        &'a self,
        transaction: &'a Transaction<'_>,
        items: &'a [NewItemRow<'a>],
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

/// From now on there is no label for this item of any batch.
#[post("/shortage/<ordinal>")]
fn run_out(_admin: Admin, ordinal: u64, stockroom: &State<Stockroom>) -> String {
    stockroom.run_out_at(Some(ordinal));
    format!("The shop is out of labels at {ordinal}.\n")
}

/// There are labels again.
#[delete("/shortage")]
fn restock(_admin: Admin, stockroom: &State<Stockroom>) -> &'static str {
    stockroom.run_out_at(None);
    "The shop has labels again.\n"
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
    // Before `rocket::build()`, so that Rocket's own lines go the same way. A filter matches by
    // prefix, hence the third part.
    let usual = || EnvFilter::new("info,rocket=warn,rocket_batch=info");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).init();

    let stockroom = Stockroom::default();
    rocket::custom(settings())
        .attach(
            Batch::fairing()
                .guard::<Admin>()
                .on_batch_finished(shelve)
                .sqlite_item_writer(stockroom.clone())
                .postgres_item_writer(stockroom.clone()),
        )
        .attach(AdHoc::try_on_ignite("Stockroom", open_stockroom))
        .attach(AdHoc::on_liftoff("Welcome", |rocket| Box::pin(async move { welcome(rocket.config()) })))
        .manage(stockroom)
        .mount("/", routes![index, fill, run_out, restock])
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
    println!("To see a failure, POST {at}/shortage/57 first, and look at {at}/batches/1/failed-jobs;");
    println!("to mend it, DELETE {at}/shortage, and POST {at}/batches/1/retry.");
}
