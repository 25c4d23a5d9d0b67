//! Sentinels: they watch a master and its replicas, and report which one is the master.

use bullmq::options::TlsCerts;
use redis::aio::MultiplexedConnection;

use super::{address::Address, candidates::Candidates, error::BoxResult, options};
use crate::config::RedisSettings;

/// The Sentinels of one master.
pub(super) struct Sentinels {
    candidates: Candidates,
    master: String,
}

impl Sentinels {
    /// Reads `settings`, which have passed their check. Connects to no server.
    pub fn from_settings(settings: &RedisSettings, tls: Option<&TlsCerts>) -> BoxResult<Self> {
        let addresses = settings.sentinel_addresses().map(Address::of);
        let candidates = Candidates::new("Sentinel", addresses, |address| options::sentinel(settings, address, tls))?;
        Ok(Self { candidates, master: settings.master.clone() })
    }

    /// Returns the address of the master.
    pub async fn master(&self) -> BoxResult<Address> {
        self.candidates.first_answer(|sentinel, _| self.query(sentinel)).await
    }

    async fn query(&self, mut sentinel: MultiplexedConnection) -> BoxResult<Address> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let address: Option<(String, u16)> = command.query_async(&mut sentinel).await?;
        let address = address.ok_or_else(|| {
            format!("this Sentinel has no master named `{}`; check `batch.redis.master`", self.master)
        })?;
        Ok(Address::of(address))
    }
}
