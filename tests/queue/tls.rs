//! Redis, its Sentinels and its cluster nodes over TLS, with a private certificate authority.

use std::{error::Error, path::Path, process::Command, sync::Arc, time::Duration};

use rocket_batch::{
    config::{RedisSettings, Secret},
    queue::{
        Disposition, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use tokio::time::Instant;

use crate::{
    bullmq::open,
    certificate_authority::{CertificateAuthority, ClientCertificates},
    sentinel::time_until_job_runs,
    suite::{TestWorker, counts, jobs_of, settings, wait_for_counts},
    support::{
        TestResult,
        process::free_port,
        redis::Redis,
        redis_cluster::CLUSTER_OK,
        wait::{WAIT_TIMEOUT, try_until},
    },
};

/// A server with a password, and the settings to connect to it.
async fn server_with_password(authority: &CertificateAuthority) -> (Redis, RedisSettings) {
    let (redis, port) = authority.redis(ClientCertificates::Optional, &[]).await;
    redis.command(&["CONFIG", "SET", "requirepass", "opensesame"]).await;
    let mut redis_settings = settings_for(authority.trusted(), port);
    redis_settings.password = Some(Secret::new("opensesame"));
    (redis, redis_settings)
}

fn settings_for(mut settings: RedisSettings, port: u16) -> RedisSettings {
    (settings.host, settings.port) = (Some("127.0.0.1".into()), port);
    settings
}

fn without_client_certificate(redis_settings: &RedisSettings) -> RedisSettings {
    let mut settings = redis_settings.clone();
    (settings.cert, settings.key) = (None, None);
    settings
}

/// Returns the error of a launch, which must fail soon.
async fn launch_error(redis_settings: &RedisSettings) -> String {
    let from = Instant::now();
    let opened = match Server::new(redis_settings) {
        Ok(server) => BullQueue::open("test", &settings(), Arc::new(server)).await.map(drop),
        Err(error) => Err(error),
    };
    let error = opened.expect_err("the queue can't be opened");
    assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
    format!("{error} {error:?} {}", error.source().map(ToString::to_string).unwrap_or_default())
}

async fn runs_jobs(redis_settings: &RedisSettings) -> TestResult {
    let queue = open(redis_settings, &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;

    queue.offer(&jobs_of(1, 20)).await?;
    let attempt = worker.next().await?;
    attempt.report(50, "half");
    attempt.finish_with(Disposition::Ack);
    worker.complete(19).await?;

    wait_for_counts(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_over_tls() -> TestResult {
    let authority = CertificateAuthority::new()?;
    let (_redis, redis_settings) = server_with_password(&authority).await;

    runs_jobs(&redis_settings).await
}

/// Each fault is reported at once and without the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_server_certificate_fails_the_launch() -> TestResult {
    let (authority, stranger) = (CertificateAuthority::new()?, CertificateAuthority::new()?);
    let (_redis, redis_settings) = server_with_password(&authority).await;
    let with = |ca: Option<&Path>, host: &str| {
        let mut settings = redis_settings.clone();
        (settings.ca, settings.host) = (ca.map(Path::to_owned), Some(host.into()));
        settings
    };
    let right = authority.file("ca.pem");
    let table = [
        (with(None, "127.0.0.1"), "UnknownIssuer"),
        (with(Some(&stranger.file("ca.pem")), "127.0.0.1"), "certificate"),
        (with(Some(&right), "localhost"), "not valid for name"),
        (with(Some(&authority.file("nowhere.pem")), "127.0.0.1"), "nowhere.pem: No such file"),
        (with(Some(&authority.file("server.key")), "127.0.0.1"), "server.key: it contains no certificate"),
    ];

    for (redis_settings, word) in table {
        let text = launch_error(&redis_settings).await;
        assert!(text.contains(word) && !text.contains("opensesame"), "{word}: {text}");
    }
    Ok(())
}

/// Redis requires client certificates by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_is_sent_to_a_server_that_requires_one() -> TestResult {
    let (authority, stranger) = (CertificateAuthority::new()?, CertificateAuthority::new()?);
    let (_redis, port) = authority.redis(ClientCertificates::Required, &[]).await;
    let mut unknown = stranger.with_client_certificate();
    unknown.ca = Some(authority.file("ca.pem"));

    runs_jobs(&settings_for(authority.with_client_certificate(), port)).await?;

    let text = launch_error(&settings_for(authority.trusted(), port)).await;
    assert!(text.contains("CertificateRequired"), "{text}");
    let text = launch_error(&settings_for(unknown, port)).await;
    assert!(text.contains("UnknownCA"), "{text}");
    Ok(())
}

/// The error names the setting, the file and the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_client_certificate_fails_the_launch() -> TestResult {
    let authority = CertificateAuthority::new()?;
    authority.openssl("ec -in client.key -aes256 -passout pass:opensesame -out server_with_password.key")?;
    let with = |cert: &str, key: &str| {
        let mut settings = settings_for(authority.trusted(), 1);
        (settings.cert, settings.key) = (Some(authority.file(cert)), Some(authority.file(key)));
        settings
    };
    let table = [
        (with("nowhere.pem", "client.key"), ["`redis.cert`", "nowhere.pem: No such file"]),
        (with("client.key", "client.key"), ["`redis.cert`", "client.key: it contains no certificate"]),
        (with("client.pem", "nowhere.key"), ["`redis.key`", "nowhere.key: No such file"]),
        (with("client.pem", "client.pem"), ["`redis.key`", "client.pem: it contains no private key in PEM format"]),
        (with("client.pem", "server_with_password.key"), ["`redis.key`", "only an encrypted one"]),
        (with("client.pem", "server.key"), ["server.key) does not match `redis.cert`", "client.pem)"]),
    ];

    for (redis_settings, words) in table {
        let text = launch_error(&redis_settings).await;
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    Ok(())
}

/// The Sentinel requires a certificate, and a user that may run only this one command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_queried_over_tls_as_a_user() -> TestResult {
    let authority = CertificateAuthority::new()?;
    let (mut master, master_port) = authority.redis(ClientCertificates::Required, &["--tls-replication", "yes"]).await;
    let of = format!("127.0.0.1 {master_port}");
    let (replica, _) =
        authority.redis(ClientCertificates::Required, &["--tls-replication", "yes", "--replicaof", &of]).await;
    master.until_replicated().await;
    let port = free_port();
    let users = "user default off\nuser boss on >boss allkeys +@all\n\
                 user scout on >opensesame -@all +auth +ping +client +sentinel|get-master-addr-by-name";
    let _sentinel = authority.sentinel(ClientCertificates::Required, port, master_port, users);
    let mut redis_settings = authority.with_client_certificate();
    (redis_settings.sentinels, redis_settings.master) = (vec![format!("127.0.0.1:{port}")], "mq".into());
    let nameless = redis_settings.clone();
    redis_settings.sentinel_username = Some("scout".into());
    redis_settings.sentinel_password = Some(Secret::new("opensesame"));
    let uncertified = without_client_certificate(&redis_settings);
    wait_until_sentinel_has_replica(&authority, port).await?;
    let queue = open(&redis_settings, &settings()).await;
    let mut worker = TestWorker::start(&queue).await?;
    time_until_job_runs(&queue, &mut worker, 0).await?;

    master.kill();
    replica.until_master().await;
    let took = time_until_job_runs(&queue, &mut worker, 1).await?;

    println!("ran {took:?} after the failover");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(replica.command(&["EXISTS", "bull:test:b9-j1-g0"]).await, redis::Value::Int(1));
    let text = launch_error(&nameless).await;
    assert!(text.contains("the Sentinel 127.0.0.1:") && text.contains("NOAUTH"), "{text}");
    let text = launch_error(&uncertified).await;
    assert!(text.contains("the Sentinel 127.0.0.1:") && text.contains("CertificateRequired"), "{text}");
    Ok(())
}

/// Waits until the Sentinel could decide on a failover.
async fn wait_until_sentinel_has_replica(authority: &CertificateAuthority, sentinel: u16) -> TestResult {
    let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|name| authority.file(name));
    let replicas = async || {
        let mut asks = Command::new("redis-cli");
        asks.args(["-p", &sentinel.to_string(), "--tls", "--user", "boss", "--pass", "boss", "--no-auth-warning"]);
        asks.arg("--cacert").arg(&ca).arg("--cert").arg(&cert).arg("--key").arg(&key);
        let output = asks.args(["sentinel", "replicas", "mq"]).output()?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let what = "the Sentinel has a replica";
    try_until(what, WAIT_TIMEOUT, replicas, |replicas| replicas.contains("127.0.0.1")).await.map(drop)
}

/// A single node has all slots, and reports its TLS port to clients that use TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_nodes_are_queried_over_tls_as_a_user() -> TestResult {
    let authority = CertificateAuthority::new()?;
    let bus = free_port().to_string();
    let options = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus];
    let (node, port) = authority.redis(ClientCertificates::Required, &options).await;
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    node.until_contains(&["CLUSTER", "INFO"], CLUSTER_OK).await;
    let mut redis_settings = authority.with_client_certificate();
    (redis_settings.nodes, redis_settings.prefix) = (vec![format!("127.0.0.1:{port}")], "{bull}".into());
    node.command(&["ACL", "SETUSER", "batch", "on", ">opensesame", "~{bull}*", "+@all"]).await;
    (redis_settings.username, redis_settings.password) = (Some("batch".into()), Some(Secret::new("opensesame")));

    runs_jobs(&redis_settings).await?;

    assert_eq!(node.command(&["ZCARD", "{bull}:test:completed"]).await, redis::Value::Int(10));
    let text = launch_error(&without_client_certificate(&redis_settings)).await;
    assert!(text.contains("the node 127.0.0.1:") && text.contains("CertificateRequired"), "{text}");
    redis_settings.password = Some(Secret::new("guessed"));
    let text = launch_error(&redis_settings).await;
    assert!(text.contains("Password authentication failed") && !text.contains("guessed"), "{text}");
    Ok(())
}
