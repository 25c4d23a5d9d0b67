//! Sentinels: they watch a master and its replicas, and say which of them is the master now.

use bullmq::options::TlsCerts;
use redis::aio::MultiplexedConnection;

use super::{
    discovery::{Address, Candidates},
    options,
    server::BoxError,
};
use crate::config::RedisSettings;

/// Those who watch one master.
pub(super) struct Sentinels {
    all: Candidates,
    master: String,
}

impl Sentinels {
    /// Those of `settings`, which have passed their check. Nobody is reached yet.
    pub fn of(settings: &RedisSettings, tls: Option<&TlsCerts>) -> Result<Self, BoxError> {
        let addresses = settings.sentinel_addresses().map(Address::from);
        let all = Candidates::of("Sentinel", addresses, |address| options::sentinel(settings, address, tls))?;
        Ok(Self { all, master: settings.master.clone() })
    }

    /// Where the master is.
    pub async fn master(&self) -> Result<Address, BoxError> {
        self.all.first(|sentinel, _| self.ask(sentinel)).await
    }

    async fn ask(&self, mut sentinel: MultiplexedConnection) -> Result<Address, BoxError> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let found: Option<(String, u16)> = question.query_async(&mut sentinel).await?;
        let found = found.ok_or_else(|| format!("it knows no master `{}` (`redis.master`)", self.master))?;
        Ok(found.into())
    }
}
