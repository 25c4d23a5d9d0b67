//! No log line contains a secret, even at the level TRACE, with any ledger and any queue.
//!
//! The drivers log as well: that of PostgreSQL logs each statement with its parameters. So the test
//! records what all crates log, and searches it for the code key, codes, idempotency keys and
//! passwords.

#[path = "queue/server.rs"]
#[allow(dead_code, reason = "only a part of it is used here")]
mod server;
#[path = "servers/postgres.rs"]
mod servers;

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use rocket::{
    figment::{Figment, providers::Serialized},
    http::{ContentType, Header},
    local::asynchronous::Client,
};
use rocket_batch::{Batch, BatchConnection, BatchDb, BatchService, PageQuery};
use rocket_db_pools::{Database, Pool};
use serde_json::json;
use server::Redis;
use servers::Server;
use tempfile::TempDir;
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

type TestResult<T = ()> = Result<T, Box<dyn Error>>;

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
        let refused = Client::untracked(rocket::custom(figment).attach(Batch::fairing().public())).await;
        let refused = refused.err().ok_or("the launch must fail")?;
        let shown = format!("{refused} {refused:?} {}", log.text());
        assert!(!shown.contains(WRONG_PASSWORD) && !shown.contains(REDIS_PASSWORD), "{shown}");
    }
    Ok(())
}

/// Runs a host from launch to shutdown, with a repeated request, and searches its log for secrets.
async fn assert_no_secret_is_logged(figment: &Figment) -> TestResult {
    let log = log();
    let plugin = Client::untracked(rocket::custom(figment).attach(Batch::fairing().public())).await?;
    let service = BatchService::fetch(plugin.rocket()).ok_or("the fairing is attached")?;

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
    host().merge(("databases.batch.url", format!("sqlite://{}", home.path().join("batch.db").display())))
}

/// Creates a role that needs a password.
async fn on_postgres(server: &Server) -> TestResult<Figment> {
    let roles = async {
        let outsider = servers::client(server.url()).await;
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

/// The log of this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let listener = log.clone();
        let everything = tracing::level_filters::LevelFilter::TRACE;
        tracing_subscriber::fmt()
            .with_max_level(everything)
            .with_writer(move || listener.clone())
            .with_ansi(false)
            .init();
        log
    })
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no code panics while holding this lock")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no code panics while holding this lock").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
