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

/// A server that a test can stop, kill and start again. It is killed when the value is dropped.
pub struct Redis {
    pub port: u16,
    /// More options; the last value of an option applies.
    pub options: Vec<String>,
    folder: TempDir,
    server: Option<Child>,
}

impl Redis {
    /// Starts a server that stores its data in an append-only file.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a server with more options.
    pub async fn with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let folder = TempDir::new().expect("the temporary folder is writable");
        let mut redis = Self { port: free_port(), options, folder, server: None };
        redis.start_again().await;
        redis
    }

    /// Starts a killed server again with its port and files, and waits until it answers.
    pub async fn start_again(&mut self) {
        self.launch();
        let end = Instant::now() + Duration::from_secs(20);
        while self.try_command(&["PING"]).await.is_err() {
            assert!(Instant::now() < end, "the server on port {} does not respond", self.port);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts a killed server again, and does not wait.
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

    /// Kills the server, like a crash.
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

    /// Repeats a command until its reply meets a condition.
    pub async fn until(&self, words: &[&str], so: impl Fn(redis::Value) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            // A server that changes its role closes all connections.
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

/// Converts a reply of Redis.
pub fn value<T: redis::FromRedisValue>(answer: redis::Value) -> Result<T, redis::ParsingError> {
    redis::from_redis_value(answer)
}
