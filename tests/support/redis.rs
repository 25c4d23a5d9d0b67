//! A Redis server on a free port, with a folder of its own.

use std::process::{Child, Command, Stdio};

use redis::Client;
use tempfile::TempDir;

use super::{
    process::{self, free_port},
    wait::{WAIT_TIMEOUT, until},
};

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
        self.until(&["PING"], |_| true).await;
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
        process::signal(self.server.as_ref().expect("it runs").id(), name);
    }

    pub async fn command(&self, words: &[&str]) -> redis::Value {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Repeats a command until its reply meets a condition. A server that starts or changes its
    /// role fails commands.
    pub async fn until(&self, words: &[&str], condition: impl Fn(redis::Value) -> bool) {
        let what = format!("port {} replies to {words:?} as expected", self.port);
        let is_met = |reply: &redis::RedisResult<_>| reply.clone().is_ok_and(&condition);
        if let Err(late) = until(what, WAIT_TIMEOUT, || self.try_command(words), is_met).await {
            panic!("{late}");
        }
    }

    /// Repeats a command until its reply contains `text`.
    pub async fn until_contains(&self, words: &[&str], text: &str) {
        self.until(words, |reply| value::<String>(reply).is_ok_and(|reply| reply.contains(text))).await;
    }

    /// Waits until this master sends each write to its replicas. It begins with their first
    /// acknowledgement, up to a second after a replica calls its link up. Writes before that are
    /// lost when the master is killed.
    pub async fn until_replicated(&self) {
        let is_acknowledged = |info: String| info.contains("state=online") && !info.contains("offset=0,");
        self.until(&["INFO", "replication"], |info| value(info).is_ok_and(is_acknowledged)).await;
    }

    /// Waits until this replica has become a master.
    pub async fn until_master(&self) {
        self.until_contains(&["INFO", "replication"], "role:master").await;
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

/// Converts a reply of Redis.
pub fn value<T: redis::FromRedisValue>(answer: redis::Value) -> Result<T, redis::ParsingError> {
    redis::from_redis_value(answer)
}
