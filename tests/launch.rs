//! Launches with variables in the environment, as a developer's shell has them.

mod support;

use std::{path::Path, time::Duration};

use figment::Jail;
use rocket::{Build, Rocket, figment::Figment, http::ContentType, local::asynchronous::Client};
use rocket_batch::{Batch, BatchStatus, config};
use support::plugin;
#[cfg(feature = "redis")]
use support::redis::Redis;

/// Runs `work` with these variables, in a working directory of its own.
#[expect(clippy::result_large_err, reason = "figment's own type, which its Jail asks for")]
fn with_environment(variables: &[(&str, &str)], work: impl Future<Output = ()> + Send) {
    Jail::expect_with(|jail| {
        variables.iter().for_each(|(name, value)| jail.set_env(name, value));
        rocket::execute(work);
        Ok(())
    });
}

fn shop(settings: Figment) -> Rocket<Build> {
    rocket::custom(settings.merge(("log_level", "off"))).attach(Batch::fairing().public())
}

fn under_test() -> Figment {
    rocket::Config::figment().merge(config::testing())
}

/// Creates a batch by HTTP and waits for its end.
async fn complete_a_batch(shop: Rocket<Build>) {
    let client = Client::untracked(shop).await.expect("the shop ignites");
    let batches = plugin::service(&client);
    let response = client.post("/batches").header(ContentType::JSON).body(r#"{"quantity": 300}"#).dispatch().await;
    assert_eq!(response.status().code, 202);
    drop(response);
    let progress = batches.until_hooks_done(1, Duration::from_secs(30)).await.expect("it finishes in time");
    assert_eq!((progress.status, progress.items_created), (BatchStatus::Completed, 300));
    client.terminate().await;
}

#[test]
fn the_url_of_the_database_is_read_from_the_environment() {
    let variables = [("ROCKET_DATABASES__BATCH__URL", "sqlite://of_the_environment.db")];
    with_environment(&variables, async {
        complete_a_batch(shop(rocket::Config::figment())).await;

        assert!(Path::new("of_the_environment.db").exists() && !Path::new("batch.db").exists());
    });
}

#[test]
fn a_path_without_a_scheme_and_one_below_the_home_directory_name_a_database() {
    with_environment(&[("HOME", "home-of-the-test")], async {
        std::fs::create_dir_all("home-of-the-test/data").expect("the directory is writable");
        for (url, file) in [("alone.db", "alone.db"), ("sqlite://~/data/below.db", "home-of-the-test/data/below.db")] {
            complete_a_batch(shop(rocket::Config::figment().merge(("databases.batch.url", url)))).await;
            assert!(Path::new(file).exists(), "{url}");
        }
    });
}

#[test]
fn a_test_of_a_host_creates_no_file_whatever_the_environment_names() {
    let variables = [
        ("ROCKET_DATABASES", r#"{batch={url="sqlite://of_the_dictionary.db"}}"#),
        ("ROCKET_DATABASES__BATCH__URL", "sqlite://of_the_variable.db"),
        ("ROCKET_BATCH__ROLE", "web"),
    ];
    with_environment(&variables, async {
        complete_a_batch(shop(under_test())).await;

        let files: Vec<_> = std::fs::read_dir(".").expect("it is readable").map(|file| file.unwrap().path()).collect();
        assert!(files.is_empty(), "{files:?}");
    });
}

#[test]
fn a_test_of_a_host_may_name_its_own_database() {
    with_environment(&[], async {
        let settings = under_test().merge(("databases.batch.url", "sqlite://of_the_test.db"));
        complete_a_batch(shop(settings)).await;

        assert!(Path::new("of_the_test.db").exists());
    });
}

/// A developer's tests wrote into the Redis that the shell's `REDIS_HOST` named.
#[cfg(feature = "redis")]
#[test]
fn a_test_of_a_host_leaves_a_live_redis_empty() {
    let redis = rocket::execute(Redis::start());
    let (number, port) = (redis.port, redis.port.to_string());
    let dictionary = format!("{{redis={{host=\"127.0.0.1\",port={port}}}}}");
    let by_code = move |config: &mut rocket_batch::Config| {
        (config.redis.host, config.redis.port) = (Some("127.0.0.1".into()), number);
    };

    for variables in [
        vec![("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", &*port)],
        vec![("ROCKET_BATCH__REDIS__HOST", "127.0.0.1"), ("ROCKET_BATCH__REDIS__PORT", &*port)],
        vec![("ROCKET_BATCH", &*dictionary)],
        vec![],
    ] {
        with_environment(&variables, async {
            let in_code = Batch::fairing().public().configure(by_code);
            let settings = under_test().merge(("log_level", "off"));
            let shop = if variables.is_empty() { rocket::custom(settings).attach(in_code) } else { shop(under_test()) };
            complete_a_batch(shop).await;
            assert_eq!(redis.command(&["DBSIZE"]).await, redis::Value::Int(0), "{variables:?}");
        });
    }
}

/// Shows that the servers of the test above would have been reached.
#[cfg(feature = "redis")]
#[test]
fn the_same_host_outside_of_a_test_uses_the_redis_of_the_environment() {
    let redis = rocket::execute(Redis::start());
    let port = redis.port.to_string();
    with_environment(&[("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", &*port)], async {
        complete_a_batch(shop(rocket::Config::figment())).await;

        assert_ne!(redis.command(&["DBSIZE"]).await, redis::Value::Int(0));
    });
}

/// The jobs of such a ledger would stay in Redis, and the next launch would find them.
#[cfg(feature = "redis")]
#[test]
fn a_ledger_in_memory_is_refused_with_queues_in_redis() {
    let redis = rocket::execute(Redis::start());
    let port = redis.port.to_string();
    with_environment(&[("REDIS_HOST", "127.0.0.1"), ("REDIS_PORT", &*port)], async {
        let settings = rocket::Config::figment().merge(("databases.batch.url", "sqlite://:memory:"));

        let refused = Client::untracked(shop(settings)).await.expect_err("the launch must fail");

        assert!(matches!(refused.kind(), rocket::error::ErrorKind::FailedFairings(_)), "{refused}");
        assert_eq!(redis.command(&["DBSIZE"]).await, redis::Value::Int(0));
    });
}
