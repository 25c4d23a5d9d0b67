//! A host whose own database library is `rocket_sync_db_pools` with the feature `diesel_sqlite_pool`.

#[path = "../host.rs"]
mod host;

use diesel::{dsl::sql, prelude::*, select, sql_types::BigInt};
use rocket_sync_db_pools::database;

#[database("shop")]
struct Shop(diesel::SqliteConnection);

#[rocket::main]
async fn main() -> host::Result {
    let settings = host::settings_with(":memory:");
    let client = host::open(rocket::custom(settings).attach(Shop::fairing())).await?;
    let shop = Shop::get_one(client.rocket()).await.ok_or("the pool is not attached")?;
    let answer = shop.run(|connection| select(sql::<BigInt>("42")).get_result(connection)).await?;
    host::close(client, answer).await
}
