//! Orders of labels: an order and its batch are created in one transaction, each label is written
//! in the transaction of its item, and a hook marks the order when all labels exist.
//!
//! ```sh
//! cargo run --release --example orders
//! curl -X POST 'http://127.0.0.1:8000/orders/7?labels=500'
//! curl http://127.0.0.1:8000/orders/7
//! ```
//!
//! The first answer is `order 7 is placed`, the second `order 7 is ready with 500 of 500 labels`.
//! A second order 7 is refused, and leaves neither an order nor a batch behind. Nothing needs to be
//! installed: orders, labels and the ledger are in the file `orders.db` in the working directory.
//! By default at most 5 jobs of 100 labels start in 10 seconds; larger orders take longer.
//!
//! On PostgreSQL the batch is created by `BatchService::create_product_items_in`, and the labels
//! are written by `.postgres_item_writer(..)`; see `docs/guide/transactions.md`.

use std::sync::OnceLock;

use rocket::{
    Build, Rocket,
    fairing::{self, AdHoc},
    get,
    http::Status,
    launch, post, routes,
};
use rocket_batch::{
    Batch, BatchDb, BatchFinished, BatchPool, BatchService, BatchStatus, BoxError, NewItemRow, sqlite::rusqlite,
};
use rocket_db_pools::{Connection, Database, Pool};

/// The shop's own tables, in the ledger's file.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id INTEGER PRIMARY KEY, labels INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'placed'
    ) STRICT;
    CREATE TABLE IF NOT EXISTS labels (
        order_id INTEGER NOT NULL, number INTEGER NOT NULL, code TEXT NOT NULL, PRIMARY KEY (order_id, number)
    ) STRICT, WITHOUT ROWID;";

/// The connections to the ledger's file, for the hook: it runs outside of a request.
static DATABASE: OnceLock<BatchPool> = OnceLock::new();

/// Inserts an order and requests a batch with the same id, in one transaction.
#[post("/orders/<id>?<labels>")]
async fn place(
    id: i64,
    labels: i64,
    db: Connection<BatchDb>,
    batches: BatchService,
) -> Result<String, (Status, String)> {
    let refused = |error: BoxError| (Status::UnprocessableEntity, format!("order {id} is refused: {error}\n"));
    let db = db.sqlite().map_err(|error| refused(error.into()))?;
    let placing = db.interact_mut(move |transaction| {
        transaction.execute("INSERT INTO orders (id, labels) VALUES (?1, ?2)", [id, labels])?;
        let request = "INSERT INTO batch_requests (batch_id, quantity, qr_code_prefix) VALUES (?1, ?2, 'QR')";
        transaction.execute(request, [id, labels])
    });
    placing.await.map_err(|error| refused(error.into()))?;
    // Otherwise the batch is found within `feed_interval`, 10 seconds by default.
    batches.wake_feeder();
    Ok(format!("order {id} is placed\n"))
}

/// Returns the state of an order and the number of its labels.
#[get("/orders/<id>")]
async fn show(id: i64, db: Connection<BatchDb>) -> Option<String> {
    let reading = db.sqlite().ok()?.interact(move |conn| {
        let sql = "SELECT state, labels, (SELECT count(*) FROM labels WHERE order_id = ?1) FROM orders WHERE id = ?1";
        conn.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    });
    let (state, labels, written): (String, i64, i64) = reading.await.ok()?;
    Some(format!("order {id} is {state} with {written} of {labels} labels\n"))
}

/// The item writer: inserts a label for each new item, in the item's transaction.
fn write_labels(transaction: &rusqlite::Connection, items: &[NewItemRow<'_>]) -> Result<(), BoxError> {
    let mut insert = transaction.prepare_cached("INSERT INTO labels (order_id, number, code) VALUES (?1, ?2, ?3)")?;
    for item in items {
        insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
    }
    Ok(())
}

/// The hook: marks the order of a finished batch. Doing so twice changes nothing.
async fn mark_order(end: BatchFinished) -> Result<(), BoxError> {
    let state = if end.status == BatchStatus::Completed { "ready" } else { "incomplete" };
    let connection = DATABASE.get().ok_or("the database is not open")?.get().await?;
    let marking = connection.sqlite()?.interact_mut(move |transaction| {
        transaction.execute("UPDATE orders SET state = ?2 WHERE id = ?1", (end.batch_id.get(), state))
    });
    marking.await?;
    Ok(())
}

/// Creates the shop's tables before a worker starts, and keeps the connections for the hook.
async fn open_shop(rocket: Rocket<Build>) -> fairing::Result {
    let opening = async {
        let database = BatchDb::fetch(&rocket).ok_or("attach the fairing of the batches first")?;
        let connection = database.get().await?;
        connection.sqlite()?.interact_mut(|transaction| transaction.execute_batch(TABLES)).await?;
        DATABASE.get_or_init(|| BatchPool::clone(database));
        Ok::<_, BoxError>(())
    };
    match opening.await {
        Ok(()) => Ok(rocket),
        Err(error) => {
            eprintln!("the shop's tables could not be created: {error}");
            Err(rocket)
        }
    }
}

#[launch]
fn rocket() -> _ {
    let settings = rocket::Config::figment().merge(("databases.batch.url", "sqlite://orders.db"));
    rocket::custom(settings)
        .attach(Batch::fairing().public().sqlite_item_writer(write_labels).on_batch_finished(mark_order))
        .attach(AdHoc::try_on_ignite("Shop", open_shop))
        .mount("/", routes![place, show])
}
