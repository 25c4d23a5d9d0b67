//! A Redis server for tests: one that `ROCKET_BATCH_TEST_REDIS` names, or one of the test's own on a free port, in a folder of its own.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::Client;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A server that a test may stop, kill and start again. It ends with the test.
pub struct Redis {
    pub port: u16,
    folder: TempDir,
    server: Option<Child>,
}

impl Redis {
    /// A server that keeps what it has in an append-only file.
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
        let mut redis = Self { port, folder: TempDir::new().expect("the disk has room"), server: None };
        redis.start_again().await;
        redis
    }

    /// Starts what was killed, on the same port, with the same files.
    pub async fn start_again(&mut self) {
        let port = self.port.to_string();
        let server = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--port",
                &port,
            ])
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed; tests/run does it");
        self.server = Some(server);
        let end = Instant::now() + Duration::from_secs(20);
        while self.try_command(&["PING"]).await.is_err() {
            assert!(Instant::now() < end, "the server on port {port} does not answer");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// As a crash would.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Sends a signal, such as `STOP`, to the server.
    pub fn signal(&self, name: &str) {
        let pid = self.server.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {pid}");
    }

    pub async fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Asks until the answer is the one that is waited for.
    pub async fn until(&self, words: &[&str], so: impl Fn(redis::Value) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.command(words).await;
            if so(answer.clone()) {
                return;
            }
            assert!(Instant::now() < end, "{words:?}: still {answer:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let mut connection = Client::open(("127.0.0.1", self.port))?.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What Redis answered, as the type that the test wants.
pub fn value<T: redis::FromRedisValue>(answer: redis::Value) -> Result<T, redis::ParsingError> {
    redis::from_redis_value(answer)
}
