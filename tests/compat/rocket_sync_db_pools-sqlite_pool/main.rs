//! A host whose own database library is `rocket_sync_db_pools` with the feature `sqlite_pool`.

#[path = "../host.rs"]
mod host;

use rocket_sync_db_pools::{database, rusqlite};

#[database("shop")]
struct Shop(rusqlite::Connection);

#[rocket::main]
async fn main() -> host::Result {
    let settings = host::settings_with(":memory:");
    let client = host::open(rocket::custom(settings).attach(Shop::fairing())).await?;
    let shop = Shop::get_one(client.rocket()).await.ok_or("the pool is not attached")?;
    let answer = shop.run(|connection| connection.query_row("SELECT 42", [], |row| row.get(0))).await?;
    host::close(client, answer).await
}
