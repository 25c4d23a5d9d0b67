//! Orders of labels: an order and its batch are created in one transaction, each label is written
//! in the transaction of its item, and the order becomes ready in the transaction that completes
//! its batch. So an order is ready if and only if its batch is completed, whatever crashes.
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
//! The same on a PostgreSQL server:
//!
//! ```sh
//! ROCKET_DATABASES='{batch={url="postgres://user:password@localhost/shop"}}' cargo run --example orders
//! ```

use rocket::{
    figment::providers::Serialized,
    futures::{FutureExt, future::BoxFuture},
    get,
    http::Status,
    launch, post, routes,
};
use rocket_batch::{
    Batch, BatchConnection, BatchDb, BatchFinished, BatchService, BatchStatus, BoxError, HookContext, ItemContext,
    ItemOptions, NewItemRow,
    postgres::tokio_postgres::{Client, Transaction},
    sqlite::{SqliteConnection, rusqlite},
};
use rocket_db_pools::Connection;

/// The shop's own tables, in the ledger's database.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (
        id BIGINT PRIMARY KEY, labels BIGINT NOT NULL, state TEXT NOT NULL DEFAULT 'placed'
    );
    CREATE TABLE IF NOT EXISTS labels (
        order_id BIGINT NOT NULL, number BIGINT NOT NULL, code TEXT NOT NULL, PRIMARY KEY (order_id, number)
    );";
// Both databases understand this SQL. SQLite numbers parameters by their first appearance.
const PLACE: &str = "INSERT INTO orders (id, labels) VALUES ($1, $2)";
const SHOW: &str = "SELECT state, labels, (SELECT count(*) FROM labels WHERE order_id = $1) FROM orders WHERE id = $1";
const MARK: &str = "UPDATE orders SET state = $1 WHERE id = $2";

type State = (String, i64, i64);

/// Creates the shop's tables before any worker starts.
async fn create_tables(db: BatchConnection) -> Result<(), BoxError> {
    match db {
        BatchConnection::Sqlite(db) => db.interact_mut(|db| db.execute_batch(TABLES)).await?,
        BatchConnection::Postgres(db) => db.batch_execute(TABLES).await?,
        _ => return Err("the shop supports no other database".into()),
    }
    Ok(())
}

/// Inserts an order and creates a batch with the same id, in one transaction.
#[post("/orders/<id>?<labels>")]
async fn place(
    id: i64,
    labels: u32,
    mut db: Connection<BatchDb>,
    batches: BatchService,
) -> Result<String, (Status, String)> {
    let placed = match &mut *db {
        BatchConnection::Sqlite(db) => place_in_sqlite(db, id, labels).await,
        BatchConnection::Postgres(db) => place_in_postgres(db, id, labels, &batches).await,
        _ => Err("the shop supports no other database".into()),
    };
    placed.map_err(|error| (Status::UnprocessableEntity, format!("order {id} is refused: {error}\n")))?;
    // Otherwise the batch is found within `feed_interval`, 10 seconds by default.
    batches.wake_feeder();
    Ok(format!("order {id} is placed\n"))
}

async fn place_in_sqlite(db: &SqliteConnection, id: i64, labels: u32) -> Result<(), BoxError> {
    let placing = db.interact_mut(move |transaction| {
        transaction.execute(PLACE, (id, labels))?;
        let ask = "INSERT INTO batch_requests (batch_id, quantity, qr_code_prefix) VALUES (?1, ?2, 'QR')";
        transaction.execute(ask, (id, labels))
    });
    placing.await?;
    Ok(())
}

async fn place_in_postgres(db: &mut Client, id: i64, labels: u32, batches: &BatchService) -> Result<(), BoxError> {
    let options = ItemOptions { qr_code_prefix: Some("QR".into()), ..batches.default_options() };
    let transaction = db.transaction().await?;
    transaction.execute(PLACE, &[&id, &i64::from(labels)]).await?;
    batches.create_product_items_in(&transaction, id, labels.into(), options).await?;
    transaction.commit().await?;
    Ok(())
}

/// Returns the state of an order and the number of its labels.
#[get("/orders/<id>")]
async fn show(id: i64, mut db: Connection<BatchDb>) -> Option<String> {
    let (state, labels, written): State = match &mut *db {
        BatchConnection::Sqlite(db) => {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            db.interact(move |conn| conn.query_row(SHOW, [id], read)).await.ok()?
        }
        BatchConnection::Postgres(db) => {
            let row = db.query_opt(SHOW, &[&id]).await.ok()??;
            (row.get(0), row.get(1), row.get(2))
        }
        _ => return None,
    };
    Some(format!("order {id} is {state} with {written} of {labels} labels\n"))
}

/// The item writer: inserts a label for each new item, in the item's transaction.
fn write_labels(
    transaction: &rusqlite::Connection,
    items: &[NewItemRow<'_>],
    _: &ItemContext<'_>,
) -> Result<(), BoxError> {
    let mut insert = transaction.prepare_cached("INSERT INTO labels (order_id, number, code) VALUES (?1, ?2, ?3)")?;
    for item in items {
        insert.execute((item.batch_id.get(), item.ordinal as i64, item.code))?;
    }
    Ok(())
}

/// The same for PostgreSQL.
fn insert_labels<'a>(
    transaction: &'a Transaction<'_>,
    items: &'a [NewItemRow<'a>],
    context: &'a ItemContext<'a>,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        let order = context.batch().batch_id.get();
        let (numbers, codes): (Vec<_>, Vec<_>) = items.iter().map(|item| (item.ordinal as i64, item.code)).unzip();
        let insert = "INSERT INTO labels SELECT $1, * FROM unnest($2::bigint[], $3::text[])";
        transaction.execute(insert, &[&order, &numbers, &codes]).await?;
        Ok(())
    }
    .boxed()
}

const fn state_of(end: &BatchFinished) -> &'static str {
    match end.status {
        BatchStatus::Completed => "ready",
        _ => "incomplete",
    }
}

/// The finish hook: marks the order in the transaction that finishes its batch.
fn mark_order(transaction: &rusqlite::Connection, end: &BatchFinished, _: &HookContext) -> Result<(), BoxError> {
    transaction.execute(MARK, (state_of(end), end.batch_id.get()))?;
    Ok(())
}

/// The same for PostgreSQL.
fn update_order<'a>(
    transaction: &'a Transaction<'_>,
    end: &'a BatchFinished,
    _: &'a HookContext,
) -> BoxFuture<'a, Result<(), BoxError>> {
    async move {
        transaction.execute(MARK, &[&state_of(end), &end.batch_id.get()]).await?;
        Ok(())
    }
    .boxed()
}

#[launch]
fn rocket() -> _ {
    let settings = rocket::Config::figment().join(Serialized::default("databases.batch.url", "sqlite://orders.db"));
    let batches = Batch::fairing()
        .public()
        .on_ledger_ready(create_tables)
        .sqlite_item_writer(write_labels)
        .postgres_item_writer(insert_labels)
        .sqlite_finish_hook(mark_order)
        .postgres_finish_hook(update_order);
    rocket::custom(settings).attach(batches).mount("/", routes![place, show])
}
