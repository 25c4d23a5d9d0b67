//! A host whose own database library is `rocket_db_pools` with the feature `deadpool_postgres`.

#[path = "../host.rs"]
mod host;

use rocket_db_pools::{Database, deadpool_postgres};

#[derive(Database)]
#[database("shop")]
struct Shop(deadpool_postgres::Pool);

#[rocket::main]
async fn main() -> host::Result {
    let settings = host::settings_with(&host::postgres()?);
    let client = host::open(rocket::custom(settings).attach(Shop::init())).await?;
    let shop = Shop::fetch(client.rocket()).ok_or("the pool is not attached")?;
    let row = shop.get().await?.query_one("SELECT 42::bigint", &[]).await?;
    host::close(client, row.get(0)).await
}
