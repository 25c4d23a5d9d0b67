//! Redis over TLS, with an authority that nobody knows but the settings.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use rocket_batch::{
    config::{RedisSettings, Secret},
    queue::{
        Answer, Queue, QueueCounts,
        bullmq::{BullQueue, Server},
    },
};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    bullmq::{at, open},
    server::{Redis, free_port},
    suite::{Stage, TestResult, counts, jobs_of, settings, until},
};

/// A folder with an authority and what it vouches for: `ca.pem`, and `cert.pem` with `key.pem` for the address 127.0.0.1.
struct Authority(TempDir);

impl Authority {
    fn new() -> Result<Self, Box<dyn Error>> {
        let authority = Self(TempDir::new()?);
        std::fs::write(authority.file("names"), "subjectAltName = IP:127.0.0.1")?;
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca")?;
        authority.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out request.pem -subj /CN=redis",
        )?;
        authority.openssl(
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
        )?;
        Ok(authority)
    }

    fn openssl(&self, words: &str) -> TestResult {
        let done = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output()?;
        if done.status.success() {
            return Ok(());
        }
        Err(format!("openssl {words}: {}", String::from_utf8_lossy(&done.stderr)).into())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A server that it vouches for, and how to reach it over TLS with a password.
    async fn redis(&self) -> (Redis, RedisSettings) {
        let port = free_port();
        let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| self.file(name).display().to_string());
        let tls =
            ["--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
        let redis = Redis::with(&[&["--tls-port", &port.to_string()], &tls[..]].concat()).await;
        redis.command(&["CONFIG", "SET", "requirepass", "opensesame"]).await;
        let mut place = at("127.0.0.1", port, "bull");
        place.tls = true;
        place.ca = Some(self.file("ca.pem"));
        place.password = Some(Secret::new("opensesame"));
        (redis, place)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_worked_over_tls() -> TestResult {
    let authority = Authority::new()?;
    let (_redis, place) = authority.redis().await;
    let queue = open(&place, &settings()).await;
    let mut stage = Stage::of(&queue).await?;

    queue.offer(&jobs_of(1, 20)).await?;
    let noted = stage.next().await?;
    noted.note(50, "half");
    noted.answer(Answer::Done);
    stage.finish(19).await?;

    until(&queue, QueueCounts { completed: 10, ..counts(0, 0, 0) }).await
}

/// What can be wrong with it, each said at once, in a line, and without the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_stops_the_launch() -> TestResult {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let (_redis, place) = authority.redis().await;
    let with = |ca: Option<&Path>, host: &str| {
        let mut settings = place.clone();
        (settings.ca, settings.host) = (ca.map(Path::to_owned), Some(host.into()));
        settings
    };
    let right = authority.file("ca.pem");
    let table = [
        (with(None, "127.0.0.1"), "UnknownIssuer"),
        (with(Some(&stranger.file("ca.pem")), "127.0.0.1"), "certificate"),
        (with(Some(&right), "localhost"), "not valid for name"),
        (with(Some(&authority.file("nowhere.pem")), "127.0.0.1"), "nowhere.pem: No such file"),
        (with(Some(&authority.file("key.pem")), "127.0.0.1"), "key.pem: it has none"),
    ];

    for (settings_of_redis, word) in table {
        let from = Instant::now();
        let opened = match Server::new(&settings_of_redis) {
            Ok(server) => BullQueue::open("test", &settings(), Arc::new(server)).await.map(drop),
            Err(error) => Err(error),
        };
        let error = opened.expect_err("there is nothing to trust");
        let text = format!("{error} {error:?} {}", error.source().map(ToString::to_string).unwrap_or_default());
        assert!(text.contains(word) && !text.contains("opensesame"), "{word}: {text}");
        assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
    }
    Ok(())
}
