//! A host whose own database library is `rocket_db_pools` with the feature `diesel_postgres`.

#[path = "../host.rs"]
mod host;

use rocket_db_pools::{
    Database,
    diesel::{PgPool, dsl::sql, prelude::*, select, sql_types::BigInt},
};

#[derive(Database)]
#[database("shop")]
struct Shop(PgPool);

#[rocket::main]
async fn main() -> host::Result {
    let settings = host::settings_with(&host::postgres()?);
    let client = host::open(rocket::custom(settings).attach(Shop::init())).await?;
    let shop = Shop::fetch(client.rocket()).ok_or("the pool is not attached")?;
    let mut connection = shop.get().await?;
    let answer = select(sql::<BigInt>("42::bigint")).get_result(&mut connection).await?;
    host::close(client, answer).await
}
