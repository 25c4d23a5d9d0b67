//! `docs/compose.yml` with processes instead of containers: the same variables, the same roles, and
//! the same number of each.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    is_complete,
    redis::nothing_is_left,
    support::{
        TestResult,
        host::{Home, Host, Store},
        postgres::{self, Server},
        redis::Redis,
    },
};

const PASSWORD: &str = "a-secret";

/// Returns the services of the file, by name.
fn services() -> TestResult<Value> {
    let mut file: serde_norway::Value = serde_norway::from_str(include_str!("../../docs/compose.yml"))?;
    file.apply_merge()?;
    Ok(serde_json::to_value(&file["services"])?)
}

/// Returns the environment of a service, with names of containers replaced by addresses on this
/// machine.
fn environment(service: &Value, postgres: &str, redis: u16) -> Vec<(String, String)> {
    let here = |value: &Value| {
        let value = value.as_str().expect("variables are texts");
        let value = value.replace("${SHOP_PASSWORD:?a password for the database}", PASSWORD);
        value.replace("@postgres/", &format!("@{postgres}/")).replace("redis", "127.0.0.1")
    };
    let variables = service["environment"].as_object().expect("it has variables").iter();
    let port = ("REDIS_PORT".to_owned(), redis.to_string());
    // The jobs of a large batch are logged at this level.
    let log = ("RUST_LOG".to_owned(), "rocket_batch=debug".to_owned());
    variables.map(|(key, value)| (key.clone(), here(value))).chain([port, log]).collect()
}

/// Creates the database, as the PostgreSQL image does for `POSTGRES_USER` and `POSTGRES_PASSWORD`.
async fn create_database(server: &Server) {
    let outsider = postgres::client(server.url()).await;
    let role = format!("CREATE ROLE shop LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
    for statement in [role.as_str(), "CREATE DATABASE shop OWNER shop"] {
        outsider.batch_execute(statement).await.expect("the server is new");
    }
}

#[tokio::test]
async fn completes_a_batch_with_the_services_of_the_compose_file() -> TestResult {
    let (postgres, redis) = (Server::start(), Redis::start().await);
    create_database(&postgres).await;
    let address = postgres.url().split(['@', '/']).find(|part| part.starts_with("127.0.0.1:")).ok_or("no address")?;
    let home = Home::on_servers(&format!("postgres://shop:{PASSWORD}@{address}/shop"), redis.port)?;
    let services = services()?;
    let [web, worker] = ["web", "worker"].map(|name| &services[name]);
    let start = async |service: &Value| -> TestResult<Host> {
        let variables = environment(service, address, redis.port);
        let variables: Vec<_> = variables.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        home.start_with(&variables).await
    };
    let replicas = worker["deploy"]["replicas"].as_u64().ok_or("no replicas")?;
    assert_eq!(replicas, 2);

    // All at once, in an empty database.
    let hosts = try_join_all([web, worker, worker].map(&start)).await?;

    let batch = hosts[0].post(&json!({ "quantity": 10_000 })).await?;
    is_complete(&hosts[0], batch, 10_000).await?;
    assert!(!hosts[0].said_any("Successfully generated"), "the web process worked");
    assert!(hosts[1..].iter().all(|worker| worker.said_any("Successfully generated")), "a worker did nothing");
    for host in hosts {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }
    home.the_shop_has_every_item().await?;
    nothing_is_left(&redis).await
}

/// The example of a process that only works, with a host that only serves.
#[tokio::test]
async fn completes_a_batch_with_the_example_worker() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?;
    let web = home.start_as("web").await?;
    let worker = home.start_example("worker", &[]).await?;

    let batch = web.post(&json!({ "quantity": 500 })).await?;

    web.until_finished(batch, Duration::from_secs(60)).await?;
    assert_eq!(home.count("SELECT count(DISTINCT ordinal) FROM rocket_batch_items").await?, 500);
    assert!(worker.progress(batch).await.is_err(), "it serves");
    assert!(!web.said_any("Successfully generated"), "the web process worked");
    for host in [web, worker] {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }
    nothing_is_left(&redis).await
}
