//! Finds the Redis master: at the configured host, or wherever Sentinels or the nodes of a cluster
//! report it.
//!
//! A Sentinel or node that is cut off from the others may report an old master, so the query is
//! repeated, see [`Server::find_master`](super::Server::find_master).

use bullmq::options::TlsCerts;

use super::{address::Address, cluster::Cluster, error::BoxResult, sentinel::Sentinels};
use crate::config::RedisSettings;

/// The way to find the Redis master.
pub(super) enum Discovery {
    Fixed(Address),
    Sentinels(Sentinels),
    Cluster(Box<Cluster>),
}

impl Discovery {
    /// Reads `settings`, which have passed their check. Connects to no server.
    pub fn from_settings(settings: &RedisSettings, tls: Option<&TlsCerts>) -> BoxResult<Self> {
        if !settings.sentinels.is_empty() {
            Sentinels::from_settings(settings, tls).map(Self::Sentinels)
        } else if !settings.nodes.is_empty() {
            Cluster::from_settings(settings, tls).map(|cluster| Self::Cluster(Box::new(cluster)))
        } else {
            let host = settings.host().unwrap_or("127.0.0.1").to_owned();
            Ok(Self::Fixed(Address { host, port: settings.port }))
        }
    }

    /// Returns the address if it never changes; `None` if Sentinels or nodes report it.
    pub const fn fixed_address(&self) -> Option<&Address> {
        match self {
            Self::Fixed(address) => Some(address),
            Self::Sentinels(_) | Self::Cluster(_) => None,
        }
    }

    /// Returns the current address of the master.
    pub async fn find_master(&self) -> BoxResult<Address> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Sentinels(sentinels) => sentinels.master().await,
            Self::Cluster(cluster) => cluster.owner().await,
        }
    }
}
