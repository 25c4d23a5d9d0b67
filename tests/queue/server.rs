//! A Redis server for tests: one that `ROCKET_BATCH_TEST_REDIS` names, or one of the test's own on
//! a free port, in a folder of its own.

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
    /// What it is told besides; the last word counts.
    pub options: Vec<String>,
    folder: TempDir,
    server: Option<Child>,
}

impl Redis {
    /// A server that keeps what it has in an append-only file.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more options.
    pub async fn with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let folder = TempDir::new().expect("the disk has room");
        let mut redis = Self { port: free_port(), options, folder, server: None };
        redis.start_again().await;
        redis
    }

    /// Starts what was killed, on the same port, with the same files, and waits until it answers.
    pub async fn start_again(&mut self) {
        self.launch();
        let end = Instant::now() + Duration::from_secs(20);
        while self.try_command(&["PING"]).await.is_err() {
            assert!(Instant::now() < end, "the server on port {} does not answer", self.port);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts what was killed, and does not wait.
    pub fn launch(&mut self) {
        let server = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed; tests/run does it");
        self.server = Some(server);
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
            // A server whose part changes hangs up on everybody.
            let answer = self.try_command(words).await;
            if answer.clone().is_ok_and(&so) {
                return;
            }
            assert!(Instant::now() < end, "{words:?}: still {answer:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn try_command(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
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

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port()
}

/// What Redis answered, as the type that the test wants.
pub fn value<T: redis::FromRedisValue>(answer: redis::Value) -> Result<T, redis::ParsingError> {
    redis::from_redis_value(answer)
}
