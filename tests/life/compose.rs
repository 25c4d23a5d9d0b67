//! `docs/compose.yml` with processes in the place of containers: the same variables, the same
//! roles, as many of each.

use std::time::Duration;

use rocket::futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    TestResult,
    host::{Home, Host, Store},
    is_complete,
    redis::nothing_is_left,
    server::Redis,
    servers::{self, Server},
};

const PASSWORD: &str = "a-secret";

/// The services of the file, by their names.
fn services() -> Result<Value, Box<dyn std::error::Error>> {
    let mut file: serde_norway::Value = serde_norway::from_str(include_str!("../../docs/compose.yml"))?;
    file.apply_merge()?;
    Ok(serde_json::to_value(&file["services"])?)
}

/// What a service is told by its environment, where names of containers are places on this machine.
fn environment(service: &Value, postgres: &str, redis: u16) -> Vec<(String, String)> {
    let here = |value: &Value| {
        let value = value.as_str().expect("variables are texts");
        let value = value.replace("${SHOP_PASSWORD:?a password for the database}", PASSWORD);
        value.replace("@postgres/", &format!("@{postgres}/")).replace("redis", "127.0.0.1")
    };
    let variables = service["environment"].as_object().expect("it has variables").iter();
    let port = ("REDIS_PORT".to_owned(), redis.to_string());
    variables.map(|(key, value)| (key.clone(), here(value))).chain([port]).collect()
}

/// As the image of PostgreSQL does by `POSTGRES_USER` and `POSTGRES_PASSWORD`.
async fn make_the_database(server: &Server) {
    let outsider = servers::client(server.url()).await;
    let role = format!("CREATE ROLE shop LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
    for statement in [role.as_str(), "CREATE DATABASE shop OWNER shop"] {
        outsider.batch_execute(statement).await.expect("the server is new");
    }
}

#[tokio::test]
async fn the_services_of_the_compose_file_make_a_batch() -> TestResult {
    let (postgres, redis) = (Server::start(), Redis::start().await);
    make_the_database(&postgres).await;
    let place = postgres.url().split(['@', '/']).find(|part| part.starts_with("127.0.0.1:")).ok_or("no place")?;
    let home = Home::on_servers(&format!("postgres://shop:{PASSWORD}@{place}/shop"), redis.port)?;
    let services = services()?;
    let [web, worker] = ["web", "worker"].map(|name| &services[name]);
    let start = async |service: &Value| -> Result<Host, Box<dyn std::error::Error>> {
        let variables = environment(service, place, redis.port);
        let variables: Vec<_> = variables.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        home.start_with(&variables).await
    };
    let replicas = worker["deploy"]["replicas"].as_u64().ok_or("no replicas")?;
    assert_eq!(replicas, 2);

    // All at once, in a database where nothing is.
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

/// The example of a process that only works, beside a host that only serves.
#[tokio::test]
async fn the_example_worker_makes_a_batch() -> TestResult {
    let redis = Redis::start().await;
    let home = Home::on_redis(Store::Postgres, redis.port)?;
    let web = home.start_as("web").await?;
    let worker = home.start_example("worker", &[]).await?;

    let batch = web.post(&json!({ "quantity": 500 })).await?;

    web.until_over(batch, Duration::from_secs(60)).await?;
    assert_eq!(home.count("SELECT count(DISTINCT ordinal) FROM batch_items").await?, 500);
    assert!(worker.progress(batch).await.is_err(), "it serves");
    assert!(!web.said_any("Successfully generated"), "the web process worked");
    for host in [web, worker] {
        assert_eq!(host.terminate().await?.code(), Some(0));
    }
    nothing_is_left(&redis).await
}
