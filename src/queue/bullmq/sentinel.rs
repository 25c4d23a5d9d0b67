//! Sentinels: they watch a master and its replicas, and say which of them is the master now.
//!
//! One after the other is asked, beginning with the one that answered last; the first that knows the master has said it. A Sentinel that
//! was cut off from the others may be behind, so they are asked again and again: see [`Server::find`](super::Server::find).

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{AsyncConnectionConfig, Client};
use tokio::time::timeout;

use super::{
    options,
    server::{BoxError, silent},
};
use crate::config::RedisSettings;

/// How long one Sentinel may take.
const SOON: Duration = Duration::from_millis(500);

/// Where a server of Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub host: String,
    pub port: u16,
}

/// Those who watch one master.
pub(super) struct Sentinels {
    all: Vec<(String, Client)>,
    master: String,
    /// Who answered last.
    last: AtomicUsize,
}

impl Sentinels {
    /// Those of `settings`, which have passed their check; `None` where there are none. Nobody is reached yet.
    pub fn of(settings: &RedisSettings, ca: Option<&[u8]>) -> Result<Option<Self>, BoxError> {
        let client = |(name, address)| {
            let options = options::sentinel(settings, &address, ca);
            Ok::<_, BoxError>((name, options::client(&options)?))
        };
        let named = settings.sentinels.iter().map(|name| name.trim().to_owned()).zip(settings.sentinel_addresses());
        let named = named.map(|(name, (host, port))| (name, Address { host, port }));
        let all = named.map(client).collect::<Result<Vec<_>, _>>()?;
        let last = AtomicUsize::new(0);
        Ok((!all.is_empty()).then(|| Self { all, master: settings.master.clone(), last }))
    }

    /// Where the master is.
    pub async fn master(&self) -> Result<Address, BoxError> {
        let first = self.last.load(Ordering::Relaxed);
        let mut why: BoxError = "there is no Sentinel".into();
        for n in (0..self.all.len()).map(|n| (first + n) % self.all.len()) {
            let (name, client) = &self.all[n];
            match timeout(SOON, self.ask(client)).await.unwrap_or_else(|_| Err(silent(SOON))) {
                Ok(address) => {
                    self.last.store(n, Ordering::Relaxed);
                    return Ok(address);
                }
                Err(error) => why = format!("the Sentinel {name}: {error}").into(),
            }
        }
        Err(why)
    }

    async fn ask(&self, client: &Client) -> Result<Address, BoxError> {
        let patience = AsyncConnectionConfig::new().set_connection_timeout(Some(SOON)).set_response_timeout(Some(SOON));
        let mut connection = client.get_multiplexed_async_connection_with_config(&patience).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let found: Option<(String, u16)> = question.query_async(&mut connection).await?;
        let (host, port) = found.ok_or_else(|| format!("it knows no master `{}` (`redis.master`)", self.master))?;
        Ok(Address { host, port })
    }
}
