//! A Redis Cluster on free ports of this machine: three masters, and optionally one replica of
//! each.

use redis::Value;

use super::{
    process::free_port,
    redis::{Redis, value},
    wait::{WAIT_TIMEOUT, until},
};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// What `CLUSTER INFO` contains if the cluster is available.
pub const CLUSTER_OK: &str = "cluster_state:ok";

/// The nodes. They notice after a second that one of them is down, and are killed when the value is
/// dropped.
pub struct Nodes {
    /// The initial masters, then the replica of each, in the same order.
    pub all: Vec<Redis>,
    ids: Vec<String>,
}

impl Nodes {
    /// Starts three masters.
    pub async fn start() -> Self {
        Self::of(MASTERS).await
    }

    /// Starts three masters and a replica of each, and waits until all are in sync.
    pub async fn with_replicas() -> Self {
        let nodes = Self::of(2 * MASTERS).await;
        for (n, replica) in nodes.all.iter().enumerate().skip(MASTERS) {
            replica.command(&["CLUSTER", "REPLICATE", &nodes.ids[n - MASTERS]]).await;
        }
        for master in &nodes.all[..MASTERS] {
            master.until_replicated().await;
        }
        for node in &nodes.all {
            // A failover requires that every node has found the replicas.
            node.until(&["CLUSTER", "NODES"], |nodes| format!("{nodes:?}").matches("slave").count() == MASTERS).await;
        }
        nodes
    }

    async fn of(count: usize) -> Self {
        let (mut nodes, mut buses) = (Self { all: Vec::new(), ids: Vec::new() }, Vec::new());
        for n in 0..count {
            // The default bus port may be in use or out of range.
            buses.push(free_port().to_string());
            nodes.launch(n, &buses[n]).await;
        }
        for (node, bus) in nodes.all.iter().zip(&buses).skip(1) {
            nodes.all[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]).await;
        }
        nodes.wait_until_ready().await;
        nodes
    }

    async fn launch(&mut self, n: usize, bus: &str) {
        let own = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"];
        let node = Redis::with(&[&own[..], &["--cluster-node-timeout", "1000", "--cluster-port", bus]].concat()).await;
        self.ids.push(value(node.command(&["CLUSTER", "MYID"]).await).expect("an id is a string"));
        node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]).await;
        if n < MASTERS {
            let [first, next] = [n, n + 1].map(|n| n * SLOTS / MASTERS);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(next - 1).to_string()]).await;
        }
        self.all.push(node);
    }

    async fn wait_until_ready(&self) {
        let known = format!("cluster_known_nodes:{}\r", self.all.len());
        for node in &self.all {
            let is_ready = |info: Value| {
                value::<String>(info).is_ok_and(|info| info.contains(CLUSTER_OK) && info.contains(&known))
            };
            node.until(&["CLUSTER", "INFO"], is_ready).await;
        }
    }

    /// Returns the addresses for the setting `redis.nodes`.
    pub fn addresses(&self) -> Vec<String> {
        self.all.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// Returns the slot of the keys with `prefix`, and which master owns it initially.
    pub async fn owner(&self, prefix: &str) -> (usize, usize) {
        let slot: usize =
            value(self.all[0].command(&["CLUSTER", "KEYSLOT", prefix]).await).expect("a slot is a number");
        (slot, (0..MASTERS).find(|n| slot < (n + 1) * SLOTS / MASTERS).expect("there are no more slots"))
    }

    /// Waits until the replica of master `n` is a master, and the cluster is available again.
    pub async fn wait_for_failover(&self, n: usize) {
        let successor = &self.all[n + MASTERS];
        successor.until_master().await;
        successor.until_contains(&["CLUSTER", "INFO"], CLUSTER_OK).await;
    }

    /// Starts to move `slot` from master `from` to master `to`, and moves half of its keys.
    pub async fn half_move(&self, slot: usize, from: usize, to: usize) {
        let slot = slot.to_string();
        self.all[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.ids[from]]).await;
        self.all[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.ids[to]]).await;
        let keys: usize =
            value(self.all[from].command(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await).expect("a number");
        assert!(keys > 1, "the slot has too few keys to move half of them");
        self.move_keys(&slot, from, to, keys / 2).await;
    }

    /// Moves the rest of the slot's keys, and announces the new owner to all masters.
    pub async fn move_the_rest(&self, slot: usize, from: usize, to: usize) {
        let slot = slot.to_string();
        let moved = || self.move_keys(&slot, from, to, 1_000);
        until("all keys are moved", WAIT_TIMEOUT, moved, |moved| *moved == 0).await.unwrap();
        let masters = [to, from].into_iter().chain((0..MASTERS).filter(|n| ![from, to].contains(n)));
        for n in masters {
            self.all[n].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.ids[to]]).await;
        }
    }

    /// Moves up to `count` keys of a slot, and returns how many it moved.
    async fn move_keys(&self, slot: &str, from: usize, to: usize, count: usize) -> usize {
        let keys = self.all[from].command(&["CLUSTER", "GETKEYSINSLOT", slot, &count.to_string()]).await;
        let keys: Vec<String> = value(keys).expect("keys are strings");
        if keys.is_empty() {
            return 0;
        }
        let port = self.all[to].port.to_string();
        let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        let words: Vec<&str> = migrate.into_iter().chain(keys.iter().map(String::as_str)).collect();
        self.all[from].command(&words).await;
        keys.len()
    }
}
