//! A shop for labels: an order and its batch are created in one transaction, each label is written
//! in the transaction of its item, and the order becomes ready in the one that completes its batch.
//! So an order is ready if and only if its batch is completed, whatever crashes.
//!
//! ```sh
//! ROCKET_BATCH__GENERATE__RATE_LIMIT=off cargo run --release --example orders
//! call() { curl -H "Authorization: Bearer $1" -X "$2" "http://127.0.0.1:8000$3"; }
//! call let-me-in POST '/orders/7?labels=500'      # order 7 is placed
//! call let-me-in GET /orders/7                    # order 7 is ready with 500 of 500 labels
//! call me-too GET /orders/7                       # 404: users see only their own orders
//! call me-too POST '/orders/8?labels=500&next=9'  # its last label names order 9, which must exist
//! call me-too GET /orders/8                       # order 8 is incomplete with 450 of 500 labels
//! call me-too GET /batches/8/failed-jobs          # why: a foreign key refused the label
//! call me-too POST '/orders/9?labels=100'         # order 9 is placed
//! call me-too POST /batches/8/retry               # order 8 becomes ready
//! ```
//!
//! Without the variable at most 5 jobs of 100 labels start in 10 seconds. The data is in the file
//! `orders.db` in the working directory, or on a PostgreSQL server if you also set
//! `ROCKET_DATABASES='{batch={url="postgres://user:password@localhost/shop"}}'`.

use rocket::futures::{FutureExt, future::BoxFuture};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::{figment::providers::Serialized, get, http::Status, launch, post, routes};
use rocket_batch::{
    Batch, BatchConnection, BatchDb, BatchError, BatchFinished, BatchService, BatchStatus, BoxError, HookContext,
    ItemContext, NewItemRow,
    postgres::tokio_postgres::Transaction,
    sqlite::rusqlite::{self, OptionalExtension},
};

// Both databases understand this SQL. SQLite numbers parameters by their first appearance.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (id BIGINT PRIMARY KEY, owner TEXT NOT NULL, quantity BIGINT NOT NULL,
        next BIGINT, state TEXT NOT NULL DEFAULT 'placed');
    CREATE TABLE IF NOT EXISTS labels (order_id BIGINT REFERENCES orders, number BIGINT, code TEXT NOT NULL,
        next BIGINT REFERENCES orders, PRIMARY KEY (order_id, number));";
const PLACE: &str = "INSERT INTO orders (id, owner, quantity, next) VALUES ($1, $2, $3, $4)";
const SHOW: &str = "SELECT state || ' with ' || (SELECT count(*) FROM labels WHERE order_id = id) || ' of ' || quantity
    || ' labels' FROM orders WHERE id = $1 AND owner = $2";
const MARK: &str = "UPDATE orders SET state = CASE WHEN $1 THEN 'ready' ELSE 'incomplete' END WHERE id = $2";

type Db = rocket_db_pools::Connection<BatchDb>;
type Answer = Result<Option<String>, BatchError>;
type Done<'a> = BoxFuture<'a, Result<(), BoxError>>;

/// Who sends a request. A real shop checks its own login here.
struct User(&'static str);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match request.headers().get_one("Authorization") {
            Some("Bearer let-me-in") => Outcome::Success(Self("ada")),
            Some("Bearer me-too") => Outcome::Success(Self("bob")),
            _ => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}

/// Lets users call the routes `/batches/<id>/..` for their own orders only.
async fn check_owner(request: &Request<'_>) -> Result<(), Status> {
    let user = request.guard::<User>().await.succeeded().ok_or(Status::Unauthorized)?;
    let Some(Ok(id)) = request.param(0) else { return Err(Status::Forbidden) };
    let mut db = request.guard::<Db>().await.succeeded().ok_or(Status::ServiceUnavailable)?;
    find(&mut db, id, user).await.map_err(|_| Status::ServiceUnavailable)?.map(drop).ok_or(Status::NotFound)
}

/// Creates the shop's tables before any worker starts.
async fn create_tables(mut db: BatchConnection) -> Result<(), BoxError> {
    db.either(
        async |db| Ok(db.interact_mut(|tx| tx.execute_batch(TABLES)).await?),
        async |db| Ok(db.batch_execute(TABLES).await?),
    )
    .await
}

/// Inserts an order and a batch of the same id, in one transaction.
#[post("/orders/<id>?<labels>&<next>")]
async fn place(user: User, id: i64, labels: u32, next: Option<i64>, mut db: Db, batches: BatchService) -> Answer {
    let (quantity, service) = (i64::from(labels), batches.clone());
    db.either(
        async |db| {
            let placing = db.interact_mut(move |tx| {
                service.create_product_items_in(&*tx, id, labels.into(), service.default_options())?;
                tx.execute(PLACE, (id, user.0, quantity, next))?;
                Ok::<_, BatchError>(())
            });
            placing.await
        },
        async |db| {
            let tx = db.transaction().await?;
            batches.create_product_items_in(&tx, id, labels.into(), batches.default_options()).await?;
            tx.execute(PLACE, &[&id, &user.0, &quantity, &next]).await?;
            Ok(tx.commit().await?)
        },
    )
    .await?;
    batches.wake_feeder(); // otherwise the batch is found within `feed_interval`, by default 10 seconds
    Ok(Some(format!("order {id} is placed\n")))
}

/// Returns the state of an order, if it is the user's.
async fn find(db: &mut BatchConnection, id: i64, user: User) -> Answer {
    db.either(
        async |db| Ok(db.interact(move |tx| tx.query_row(SHOW, (id, user.0), |row| row.get(0)).optional()).await?),
        async |db| Ok(db.query_opt(SHOW, &[&id, &user.0]).await?.map(|row| row.get(0))),
    )
    .await
}

#[get("/orders/<id>")]
async fn show(user: User, id: i64, mut db: Db) -> Answer {
    Ok(find(&mut db, id, user).await?.map(|state| format!("order {id} is {state}\n")))
}

/// The item writer: inserts a label for each new item, in the item's transaction.
fn write_labels(tx: &rusqlite::Connection, items: &[NewItemRow<'_>], _: &ItemContext<'_>) -> Result<(), BoxError> {
    let insert = "INSERT INTO labels SELECT id, ?2, ?3, CASE quantity WHEN ?2 THEN next END FROM orders WHERE id = ?1";
    let mut insert = tx.prepare_cached(insert)?;
    for item in items {
        insert.execute((item.batch_id.get(), item.ordinal as i64 + 1, item.code))?;
    }
    Ok(())
}

/// The same for PostgreSQL.
fn insert_labels<'a>(tx: &'a Transaction<'_>, items: &'a [NewItemRow<'a>], context: &'a ItemContext<'a>) -> Done<'a> {
    async move {
        let (numbers, codes): (Vec<_>, Vec<_>) = items.iter().map(|item| (item.ordinal as i64 + 1, item.code)).unzip();
        let insert = "INSERT INTO labels SELECT id, number, code, CASE quantity WHEN number THEN next END
            FROM orders, unnest($2::bigint[], $3::text[]) AS new (number, code) WHERE id = $1";
        tx.execute(insert, &[&context.batch().batch_id.get(), &numbers, &codes]).await?;
        Ok(())
    }
    .boxed()
}

/// The finish hook: marks the order in the transaction that finishes its batch.
fn mark_order(tx: &rusqlite::Connection, end: &BatchFinished, _: &HookContext) -> Result<(), BoxError> {
    tx.execute(MARK, (end.status == BatchStatus::Completed, end.batch_id.get()))?;
    Ok(())
}

/// The same for PostgreSQL.
fn update_order<'a>(tx: &'a Transaction<'_>, end: &'a BatchFinished, _: &'a HookContext) -> Done<'a> {
    async move {
        tx.execute(MARK, &[&(end.status == BatchStatus::Completed), &end.batch_id.get()]).await?;
        Ok(())
    }
    .boxed()
}

#[launch]
fn rocket() -> _ {
    let settings = rocket::Config::figment().join(Serialized::default("databases.batch.url", "sqlite://orders.db"));
    let batches = Batch::fairing()
        .authorize(|request, _| check_owner(request).boxed())
        .on_ledger_ready(create_tables)
        .sqlite_item_writer(write_labels)
        .postgres_item_writer(insert_labels)
        .sqlite_finish_hook(mark_order)
        .postgres_finish_hook(update_order);
    rocket::custom(settings).attach(batches).register("/", rocket_batch::catchers()).mount("/", routes![place, show])
}

#[cfg(test)]
mod tests {
    use rocket::{http::Header, local::asynchronous::Client};
    use rocket_batch::{BatchService, config};

    #[rocket::async_test]
    async fn an_order_is_hidden_from_others_and_becomes_ready_after_a_retry() {
        let settings = rocket::Config::figment().merge(config::testing()).merge(("log_level", "off"));
        let shop = Client::tracked(super::rocket().configure(settings)).await.unwrap();
        let batches = BatchService::fetch(shop.rocket()).unwrap();

        for (user, request, answer) in [
            ("me-too", "POST /orders/8?labels=500&next=9", "order 8 is placed"),
            ("me-too", "GET /orders/8", "order 8 is incomplete with 450 of 500 labels"),
            ("me-too", "GET /batches/8/failed-jobs", "FOREIGN KEY constraint failed"),
            ("me-too", "POST /orders/8?labels=100", "batch 8 already exists"),
            ("let-me-in", "GET /orders/8", "Not Found"),
            ("let-me-in", "POST /batches/8/retry", "Not Found"),
            ("me-too", "POST /orders/9?labels=100", "order 9 is placed"),
            ("me-too", "POST /batches/8/retry", "\"recreated\":1"),
            ("me-too", "GET /orders/8", "order 8 is ready with 500 of 500 labels"),
        ] {
            let (method, path) = request.split_once(' ').unwrap();
            let bearer = Header::new("Authorization", format!("Bearer {user}"));
            let response = shop.req(method.parse().unwrap(), path).header(bearer).dispatch();
            let found = response.await.into_string().await.unwrap();
            assert!(found.contains(answer), "{request}: {found}");
            batches.until_finished(8, std::time::Duration::from_secs(30)).await.unwrap();
        }
    }
}
