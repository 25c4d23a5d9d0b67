//! A host whose own database library is `sqlx` 0.8.

#[path = "../host.rs"]
mod host;

use sqlx::SqlitePool;

#[rocket::main]
async fn main() -> host::Result {
    let shop = SqlitePool::connect("sqlite::memory:").await?;
    let client = host::open(rocket::custom(host::settings())).await?;
    let answer: i64 = sqlx::query_scalar("SELECT 42").fetch_one(&shop).await?;
    host::close(client, answer).await
}
