//! A host whose own database library is `diesel` 2.

#[path = "../host.rs"]
mod host;

use diesel::{dsl::sql, prelude::*, select, sql_types::BigInt};

#[rocket::main]
async fn main() -> host::Result {
    let mut shop = SqliteConnection::establish(":memory:")?;
    let client = host::open(rocket::custom(host::settings())).await?;
    let answer = select(sql::<BigInt>("42")).get_result(&mut shop)?;
    host::close(client, answer).await
}
