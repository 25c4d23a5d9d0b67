//! A host whose own database library is `sea-orm` 1.

#[path = "../host.rs"]
mod host;

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

#[rocket::main]
async fn main() -> host::Result {
    let shop = Database::connect("sqlite::memory:").await?;
    let client = host::open(rocket::custom(host::settings())).await?;
    let question = Statement::from_string(DbBackend::Sqlite, "SELECT 42 AS answer");
    let row = shop.query_one(question).await?.ok_or("no row")?;
    host::close(client, row.try_get("", "answer")?).await
}
