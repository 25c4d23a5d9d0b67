//! No log line contains a secret, even at the level TRACE, with any ledger and any queue.
//!
//! The drivers log as well: that of PostgreSQL logs each statement with its parameters. So the test
//! records what all crates log, and searches it for the code key, codes, idempotency keys and
//! passwords.

mod support;

use std::time::Duration;

use rocket::{
    figment::{Figment, providers::Serialized},
    http::{ContentType, Header},
    local::asynchronous::Client,
};
use rocket_batch::{Batch, BatchConnection, BatchDb, PageQuery};
use rocket_db_pools::{Database, Pool};
use serde_json::json;
use support::{
    TestResult,
    log::Log,
    plugin,
    postgres::{self, Server},
    redis::Redis,
};
use tempfile::TempDir;
use tracing::{instrument::WithSubscriber, level_filters::LevelFilter, subscriber::NoSubscriber};

const IDEMPOTENCY_KEY: &str = "the-idempotency-key";
const REDIS_PASSWORD: &str = "the-password-of-redis";
const POSTGRES_PASSWORD: &str = "the-password-of-postgres";
const WRONG_PASSWORD: &str = "one-that-was-mistyped";
const CODE_KEY: &str = "00c0ffee5eed5eed5eed5eed00c0ffee";

#[tokio::test]
async fn no_secret_is_logged_with_sqlite_and_the_local_queue() -> TestResult {
    let home = TempDir::new()?;

    assert_no_secret_is_logged(&on_sqlite(&home)).await
}

#[tokio::test]
async fn no_secret_is_logged_with_sqlite_and_redis() -> TestResult {
    let (home, redis) = (TempDir::new()?, redis_with_password().await);

    assert_no_secret_is_logged(&on_redis(on_sqlite(&home), &redis)).await
}

#[tokio::test]
async fn no_secret_is_logged_with_postgres_and_the_local_queue() -> TestResult {
    let server = Server::start();

    assert_no_secret_is_logged(&on_postgres(&server).await?).await?;

    // The log of the driver was recorded.
    assert!(log().text().contains("executing statement"));
    Ok(())
}

#[tokio::test]
async fn no_secret_is_logged_with_postgres_and_redis() -> TestResult {
    let (server, redis) = (Server::start(), redis_with_password().await);

    assert_no_secret_is_logged(&on_redis(on_postgres(&server).await?, &redis)).await
}

#[tokio::test]
async fn no_secret_is_logged_when_a_password_is_wrong() -> TestResult {
    let log = log();
    let (home, server, redis) = (TempDir::new()?, Server::start(), redis_with_password().await);
    let url = on_postgres(&server).await?.extract_inner::<String>("databases.batch.url")?;
    let wrong = [
        on_redis(on_sqlite(&home), &redis).merge(("batch.redis.password", WRONG_PASSWORD)),
        host().merge(("databases.batch.url", url.replace(POSTGRES_PASSWORD, WRONG_PASSWORD))),
    ];

    for figment in wrong {
        let refused = plugin::launch(figment, Batch::fairing().public()).await;
        let refused = refused.err().ok_or("the launch must fail")?;
        let shown = format!("{refused} {refused:?} {}", log.text());
        assert!(!shown.contains(WRONG_PASSWORD) && !shown.contains(REDIS_PASSWORD), "{shown}");
    }
    Ok(())
}

/// Runs a host from launch to shutdown, with a repeated request, and searches its log for secrets.
async fn assert_no_secret_is_logged(figment: &Figment) -> TestResult {
    let log = log();
    let plugin = plugin::launch(figment.clone(), Batch::fairing().public()).await?;
    let service = plugin::service(&plugin);

    for _ in 0..2 {
        let post =
            plugin.post("/batches").header(ContentType::JSON).header(Header::new("Idempotency-Key", IDEMPOTENCY_KEY));
        let body = json!({ "quantity": 120, "qrCodePrefix": "QR" });
        assert_eq!(post.body(body.to_string()).dispatch().await.status().code, 202);
    }
    service.until_finished(1, Duration::from_secs(60)).await?;

    let items = service.items(1, PageQuery { limit: Some(120), ..PageQuery::default() }).await?.items;
    assert_eq!(plugin.get("/batches/1/items").dispatch().await.status().code, 200);
    let key = code_key(&plugin, figment).await?;
    drop(plugin.terminate().await);
    let text = log.text();
    assert!(text.contains("TRACE") && text.contains("Batch 1 completed"), "{text}");
    let codes = items.iter().map(|item| item.code.trim_start_matches("QR-"));
    for secret in
        codes.chain([IDEMPOTENCY_KEY, REDIS_PASSWORD, POSTGRES_PASSWORD]).chain(key.iter().map(String::as_str))
    {
        let line = text.lines().find(|line| line.to_lowercase().contains(&secret.to_lowercase()));
        assert_eq!(line, None, "the log contains `{secret}`");
    }
    assert_eq!(items.len(), 120);
    Ok(())
}

/// The key from the settings, or the one generated at the first launch, in the formats that a log
/// could contain.
async fn code_key(plugin: &Client, figment: &Figment) -> TestResult<[String; 2]> {
    let hex = match figment.extract_inner::<String>("batch.code_key") {
        Ok(configured) => configured,
        Err(_) => stored_key(plugin).await?,
    };
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes())?;
    let listed = format!("{bytes:?}");
    Ok([hex, listed.trim_matches(['[', ']']).to_owned()])
}

async fn stored_key(plugin: &Client) -> TestResult<String> {
    let database = BatchDb::fetch(plugin.rocket()).ok_or("the fairing is attached")?;
    Ok(match database.get().await? {
        BatchConnection::Sqlite(db) => {
            let hex = "SELECT lower(hex(value)) FROM rocket_batch_settings WHERE name = 'code_key'";
            db.interact(move |db| db.query_row(hex, [], |row| row.get(0))).await?
        }
        BatchConnection::Postgres(db) => {
            db.query_one("SELECT value FROM settings WHERE name = 'code_key'", &[]).await?.get(0)
        }
        _ => return Err("unknown database".into()),
    })
}

fn host() -> Figment {
    rocket::Config::figment()
        .merge(("log_level", "debug"))
        .merge(Serialized::global("batch.generate.rate_limit", "off"))
}

fn on_sqlite(home: &TempDir) -> Figment {
    host().merge(("databases.batch.url", plugin::sqlite_url(home.path())))
}

/// Creates a role that needs a password.
async fn on_postgres(server: &Server) -> TestResult<Figment> {
    let roles = async {
        let outsider = postgres::client(server.url()).await;
        let rules: String = outsider.query_one("SHOW hba_file", &[]).await?.get(0);
        let statements = format!(
            "CREATE ROLE shop LOGIN PASSWORD '{POSTGRES_PASSWORD}'; GRANT CREATE ON DATABASE postgres TO shop;
             COPY (VALUES ('host all postgres 127.0.0.1/32 trust'), ('host all all 127.0.0.1/32 scram-sha-256')) TO '{rules}';
             SELECT pg_reload_conf()"
        );
        outsider.batch_execute(&statements).await
    };
    // These statements contain the password, so they are not recorded.
    roles.with_subscriber(NoSubscriber::default()).await?;
    let url = server.url().replace("postgres@", &format!("shop:{POSTGRES_PASSWORD}@"));
    Ok(host().merge(("databases.batch.url", url)))
}

async fn redis_with_password() -> Redis {
    let redis = Redis::start().await;
    redis.command(&["CONFIG", "SET", "requirepass", REDIS_PASSWORD]).await;
    redis
}

fn on_redis(figment: Figment, redis: &Redis) -> Figment {
    figment
        .merge(("batch.redis.host", "127.0.0.1"))
        .merge(("batch.redis.port", redis.port))
        .merge(("batch.redis.password", REDIS_PASSWORD))
        .merge(("batch.code_key", CODE_KEY))
}

/// The log of this process at every level.
fn log() -> &'static Log {
    Log::of_this_process(LevelFilter::TRACE)
}
