//! A master, a replica and three Sentinels, on free ports of this machine.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::server::{Redis, free_port};

/// The servers. The Sentinels call the master `mq`, and notice after a second that it is down. All
/// of them are killed when the value is dropped.
pub struct Watched {
    pub master: Redis,
    pub replica: Redis,
    sentinels: Vec<Child>,
    ports: Vec<u16>,
    _folder: TempDir,
}

impl Watched {
    /// Starts all five. Waits until the replica is in sync and the Sentinels have found each other.
    pub async fn start() -> Self {
        let master = Redis::start().await;
        let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port)]).await;
        let folder = TempDir::new().expect("the temporary folder is writable");
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let sentinels = ports.iter().map(|port| sentinel(&folder, *port, master.port)).collect();
        let watched = Self { master, replica, sentinels, ports, _folder: folder };
        watched.wait_until_ready().await;
        watched
    }

    /// Returns the addresses for the setting `redis.sentinels`.
    pub fn addresses(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// Kills the first `count` Sentinels.
    pub fn kill_sentinels(&mut self, count: usize) {
        for sentinel in &mut self.sentinels[..count] {
            let _ = sentinel.kill();
            let _ = sentinel.wait();
        }
    }

    async fn wait_until_ready(&self) {
        self.replica
            .until(&["INFO", "replication"], |info| format!("{info:?}").contains("master_link_status:up"))
            .await;
        for port in &self.ports {
            while !has_found_all(*port).await {
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until the Sentinels have made the replica the master.
    pub async fn wait_for_failover(&self) {
        self.replica.until(&["INFO", "replication"], |info| format!("{info:?}").contains("role:master")).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill_sentinels(self.sentinels.len());
    }
}

fn sentinel(folder: &TempDir, port: u16, master: u16) -> Child {
    let file = folder.path().join(format!("{port}.conf"));
    let lines = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mq 127.0.0.1 {master} 2\nsentinel down-after-milliseconds mq 1000\n\
         sentinel failover-timeout mq 6000\n"
    );
    std::fs::write(&file, lines).expect("the temporary folder is writable");
    let mut command = Command::new("redis-server");
    command.arg(&file).arg("--sentinel").current_dir(folder.path()).stdout(Stdio::null());
    command.spawn().expect("redis-server is installed; tests/run does it")
}

/// Returns whether a Sentinel has found the other two and the replica.
async fn has_found_all(port: u16) -> bool {
    let query = async {
        let client = redis::Client::open(("127.0.0.1", port))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("SENTINEL").arg("MASTER").arg("mq").query_async::<Vec<String>>(&mut connection).await
    };
    let facts = query.await.unwrap_or_default();
    let fact = |name: &str| facts.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
    fact("num-other-sentinels").as_deref() == Some("2") && fact("num-slaves").as_deref() == Some("1")
}
