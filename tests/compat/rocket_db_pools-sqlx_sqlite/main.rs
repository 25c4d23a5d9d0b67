//! A host whose own database library is `rocket_db_pools` with the feature `sqlx_sqlite`.

#[path = "../host.rs"]
mod host;

use rocket_db_pools::{Database, sqlx};

#[derive(Database)]
#[database("shop")]
struct Shop(sqlx::SqlitePool);

#[rocket::main]
async fn main() -> host::Result {
    let settings = host::settings_with("sqlite::memory:");
    let client = host::open(rocket::custom(settings).attach(Shop::init())).await?;
    let shop = Shop::fetch(client.rocket()).ok_or("the pool is not attached")?;
    let answer: i64 = sqlx::query_scalar("SELECT 42").fetch_one(&**shop).await?;
    host::close(client, answer).await
}
