//! A master, a replica and three Sentinels, on free ports of this machine.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{
    process::free_port,
    redis::Redis,
    wait::{WAIT_TIMEOUT, until},
};

/// The servers. The Sentinels call the master `mq`, and notice after a second that it is down. All
/// of them are killed when the value is dropped.
pub struct Watched {
    pub master: Redis,
    pub replica: Redis,
    sentinels: Vec<Sentinel>,
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
        let start = |port| Sentinel::start(folder.path(), &format!("port {port}"), master.port, 2);
        let sentinels = ports.iter().map(start).collect();
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
        self.sentinels[..count].iter_mut().for_each(Sentinel::kill);
    }

    async fn wait_until_ready(&self) {
        self.master.until_replicated().await;
        for port in &self.ports {
            let what = format!("the Sentinel on port {port} has found the others");
            until(what, WAIT_TIMEOUT, || has_found_all(*port), |found| *found).await.unwrap();
        }
    }

    /// Waits until the Sentinels have made the replica the master.
    pub async fn wait_for_failover(&self) {
        self.replica.until_master().await;
    }
}

/// A Sentinel that calls its master `mq`. It is killed when the value is dropped.
pub struct Sentinel(Child);

impl Sentinel {
    /// Starts a Sentinel that watches the master on port `master`, and fails over if `quorum`
    /// Sentinels agree. `lines` are the first ones of its configuration, which is a file in
    /// `folder`.
    pub fn start(folder: &Path, lines: &str, master: u16, quorum: u32) -> Self {
        let file = folder.join(format!("sentinel-{}.conf", fastrand::u64(..)));
        let lines = format!(
            "bind 127.0.0.1\n{lines}\nsentinel monitor mq 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds mq 1000\nsentinel failover-timeout mq 6000\n"
        );
        std::fs::write(&file, lines).expect("the temporary folder is writable");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel").current_dir(folder).stdout(Stdio::null());
        Self(command.spawn().expect("redis-server is installed; tests/run does it"))
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
    }
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
