//! Redis, its Sentinels and its nodes over TLS, with an authority that nobody knows but the
//! settings.

use std::{error::Error, path::Path, process::Command, sync::Arc, time::Duration};

use rocket_batch::{
    config::{RedisSettings, Secret},
    queue::{
        Disposition, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    bullmq::open,
    certificate_authority::{Authority, Clients},
    sentinel::works_again,
    server::{Redis, free_port},
    suite::{Stage, TestResult, counts, jobs_of, settings, until},
};

/// A server with a password, and how to reach it.
async fn guarded(certificate_authority: &Authority) -> (Redis, RedisSettings) {
    let (redis, port) = certificate_authority.redis(Clients::Anybody, &[]).await;
    redis.command(&["CONFIG", "SET", "requirepass", "opensesame"]).await;
    let mut place = here(certificate_authority.trusted(), port);
    place.password = Some(Secret::new("opensesame"));
    (redis, place)
}

fn here(mut settings: RedisSettings, port: u16) -> RedisSettings {
    (settings.host, settings.port) = (Some("127.0.0.1".into()), port);
    settings
}

fn without_ours(place: &RedisSettings) -> RedisSettings {
    let mut settings = place.clone();
    (settings.cert, settings.key) = (None, None);
    settings
}

/// What the launch says, which has to be said soon.
async fn refusal(place: &RedisSettings) -> String {
    let from = Instant::now();
    let opened = match Server::new(place) {
        Ok(server) => BullQueue::open("test", &settings(), Arc::new(server)).await.map(drop),
        Err(error) => Err(error),
    };
    let error = opened.expect_err("there is nothing to open");
    assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
    format!("{error} {error:?} {}", error.source().map(ToString::to_string).unwrap_or_default())
}

async fn works(place: &RedisSettings) -> TestResult {
    let queue = open(place, &settings()).await;
    let mut stage = Stage::of(&queue).await?;

    queue.offer(&jobs_of(1, 20)).await?;
    let noted = stage.next().await?;
    noted.report(50, "half");
    noted.answer(Disposition::Ack);
    stage.finish(19).await?;

    until(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_worked_over_tls() -> TestResult {
    let certificate_authority = Authority::new()?;
    let (_redis, place) = guarded(&certificate_authority).await;

    works(&place).await
}

/// What can be wrong with it, each said at once, in a line, and without the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_stops_the_launch() -> TestResult {
    let (certificate_authority, stranger) = (Authority::new()?, Authority::new()?);
    let (_redis, place) = guarded(&certificate_authority).await;
    let with = |ca: Option<&Path>, host: &str| {
        let mut settings = place.clone();
        (settings.ca, settings.host) = (ca.map(Path::to_owned), Some(host.into()));
        settings
    };
    let right = certificate_authority.file("ca.pem");
    let table = [
        (with(None, "127.0.0.1"), "UnknownIssuer"),
        (with(Some(&stranger.file("ca.pem")), "127.0.0.1"), "certificate"),
        (with(Some(&right), "localhost"), "not valid for name"),
        (with(Some(&certificate_authority.file("nowhere.pem")), "127.0.0.1"), "nowhere.pem: No such file"),
        (with(Some(&certificate_authority.file("server.key")), "127.0.0.1"), "server.key: it has none"),
    ];

    for (place, word) in table {
        let text = refusal(&place).await;
        assert!(text.contains(word) && !text.contains("opensesame"), "{word}: {text}");
    }
    Ok(())
}

/// As Redis does with TLS unless it is told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_to_know_its_clients_gets_our_certificate() -> TestResult {
    let (certificate_authority, stranger) = (Authority::new()?, Authority::new()?);
    let (_redis, port) = certificate_authority.redis(Clients::Certified, &[]).await;
    let mut unknown = stranger.certified();
    unknown.ca = Some(certificate_authority.file("ca.pem"));

    works(&here(certificate_authority.certified(), port)).await?;

    let text = refusal(&here(certificate_authority.trusted(), port)).await;
    assert!(text.contains("CertificateRequired"), "{text}");
    let text = refusal(&here(unknown, port)).await;
    assert!(text.contains("UnknownCA"), "{text}");
    Ok(())
}

/// With the setting, the file, and what is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_ours_that_is_none_stops_the_launch() -> TestResult {
    let certificate_authority = Authority::new()?;
    certificate_authority.openssl("ec -in client.key -aes256 -passout pass:opensesame -out guarded.key")?;
    let with = |cert: &str, key: &str| {
        let mut settings = here(certificate_authority.trusted(), 1);
        (settings.cert, settings.key) = (Some(certificate_authority.file(cert)), Some(certificate_authority.file(key)));
        settings
    };
    let table = [
        (with("nowhere.pem", "client.key"), ["`redis.cert`", "nowhere.pem: No such file"]),
        (with("client.key", "client.key"), ["`redis.cert`", "client.key: it has none"]),
        (with("client.pem", "nowhere.key"), ["`redis.key`", "nowhere.key: No such file"]),
        (with("client.pem", "client.pem"), ["`redis.key`", "client.pem: it has no private key in PEM"]),
        (with("client.pem", "guarded.key"), ["`redis.key`", "one that a passphrase guards"]),
        (with("client.pem", "server.key"), ["server.key) is no key to `redis.cert`", "client.pem)"]),
    ];

    for (place, words) in table {
        let text = refusal(&place).await;
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    Ok(())
}

/// The Sentinel lets in whoever has a certificate, and one user, who may ask it this one thing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_asked_over_tls_and_by_name() -> TestResult {
    let certificate_authority = Authority::new()?;
    let (mut master, master_port) =
        certificate_authority.redis(Clients::Certified, &["--tls-replication", "yes"]).await;
    let of = format!("127.0.0.1 {master_port}");
    let (replica, _) =
        certificate_authority.redis(Clients::Certified, &["--tls-replication", "yes", "--replicaof", &of]).await;
    replica.until(&["INFO", "replication"], |info| format!("{info:?}").contains("master_link_status:up")).await;
    let port = free_port();
    let users = "user default off\nuser boss on >boss allkeys +@all\n\
                 user scout on >opensesame -@all +auth +ping +client +sentinel|get-master-addr-by-name";
    let _sentinel = certificate_authority.sentinel(Clients::Certified, port, master_port, users)?;
    let mut place = certificate_authority.certified();
    (place.sentinels, place.master) = (vec![format!("127.0.0.1:{port}")], "mq".into());
    let nameless = place.clone();
    place.sentinel_username = Some("scout".into());
    place.sentinel_password = Some(Secret::new("opensesame"));
    let uncertified = without_ours(&place);
    knows_its_replica(&certificate_authority, port).await?;
    let queue = open(&place, &settings()).await;
    let mut stage = Stage::of(&queue).await?;
    works_again(&queue, &mut stage, 0).await?;

    master.kill();
    replica.until(&["INFO", "replication"], |info| format!("{info:?}").contains("role:master")).await;
    let took = works_again(&queue, &mut stage, 1).await?;

    println!("worked {took:?} after the Sentinel had decided");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    let text = refusal(&nameless).await;
    assert!(text.contains("the Sentinel 127.0.0.1:") && text.contains("NOAUTH"), "{text}");
    let text = refusal(&uncertified).await;
    assert!(text.contains("the Sentinel 127.0.0.1:") && text.contains("CertificateRequired"), "{text}");
    Ok(())
}

/// Waits until a failover could be decided.
async fn knows_its_replica(certificate_authority: &Authority, sentinel: u16) -> TestResult {
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| certificate_authority.file(name));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let mut asks = Command::new("redis-cli");
        asks.args(["-p", &sentinel.to_string(), "--tls", "--user", "boss", "--pass", "boss", "--no-auth-warning"]);
        asks.arg("--cacert").arg(&ca).arg("--cert").arg(&cert).arg("--key").arg(&key);
        let said = asks.args(["sentinel", "replicas", "mq"]).output()?;
        if String::from_utf8_lossy(&said.stdout).contains("127.0.0.1") {
            return Ok(());
        }
        assert!(Instant::now() < end, "{said:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// One node has all slots, and speaks of its port for TLS to those who speak it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_cluster_are_asked_over_tls_and_by_name() -> TestResult {
    let certificate_authority = Authority::new()?;
    let bus = free_port().to_string();
    let options = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    let (node, port) = certificate_authority.redis(Clients::Certified, &options).await;
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    node.until(&["CLUSTER", "INFO"], |info| format!("{info:?}").contains("cluster_state:ok")).await;
    let mut place = certificate_authority.certified();
    (place.nodes, place.prefix) = (vec![format!("127.0.0.1:{port}")], "{bull}".into());
    node.command(&["ACL", "SETUSER", "batch", "on", ">opensesame", "~{bull}*", "+@all"]).await;
    (place.username, place.password) = (Some("batch".into()), Some(Secret::new("opensesame")));

    works(&place).await?;

    assert_eq!(node.command(&["ZCARD", "{bull}:test:completed"]).await, redis::Value::Int(10));
    let text = refusal(&without_ours(&place)).await;
    assert!(text.contains("the node 127.0.0.1:") && text.contains("CertificateRequired"), "{text}");
    place.password = Some(Secret::new("guessed"));
    let text = refusal(&place).await;
    assert!(text.contains("Password authentication failed") && !text.contains("guessed"), "{text}");
    Ok(())
}
