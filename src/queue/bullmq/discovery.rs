//! Where Redis is: where the settings say, or where those say who are asked for it, which are
//! Sentinels or the nodes of a cluster.
//!
//! One after the other is asked, beginning with the one that answered last; the first that knows
//! has said it. One that was cut off from the others may be behind, so they are asked again and
//! again: see [`Server::find`](super::Server::find).

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bullmq::options::{RedisConnectionOptions, TlsCerts};
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    cluster::Cluster,
    options,
    sentinel::Sentinels,
    server::{BoxError, silent},
};
use crate::config::RedisSettings;

/// How long one who is asked may take.
const SOON: Duration = Duration::from_millis(500);

/// Where a server of Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub host: String,
    pub port: u16,
}

impl From<(String, u16)> for Address {
    fn from((host, port): (String, u16)) -> Self {
        Self { host, port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Who says where Redis is.
pub(super) enum Discovery {
    Settings(Address),
    Sentinels(Sentinels),
    Cluster(Box<Cluster>),
}

impl Discovery {
    /// As `settings` have it, which have passed their check. Nobody is reached yet.
    pub fn of(settings: &RedisSettings, tls: Option<&TlsCerts>) -> Result<Self, BoxError> {
        if !settings.sentinels.is_empty() {
            Sentinels::of(settings, tls).map(Self::Sentinels)
        } else if !settings.nodes.is_empty() {
            Cluster::of(settings, tls).map(|cluster| Self::Cluster(Box::new(cluster)))
        } else {
            let host = settings.host().unwrap_or("127.0.0.1").to_owned();
            Ok(Self::Settings(Address { host, port: settings.port }))
        }
    }

    /// Where it is for good; `None` where somebody has to be asked.
    pub fn for_good(&self) -> Option<&Address> {
        match self {
            Self::Settings(address) => Some(address),
            Self::Sentinels(_) | Self::Cluster(_) => None,
        }
    }

    /// Where it is now.
    pub async fn ask(&self) -> Result<Address, BoxError> {
        match self {
            Self::Settings(address) => Ok(address.clone()),
            Self::Sentinels(sentinels) => sentinels.master().await,
            Self::Cluster(cluster) => cluster.owner().await,
        }
    }
}

/// Some who can be asked, of one kind.
pub(super) struct Candidates {
    /// What one of them is, in a message.
    kind: &'static str,
    all: Vec<(Address, Client)>,
    /// Who answered last.
    last: AtomicUsize,
}

impl Candidates {
    /// Those at `addresses`, each reached as `way` says.
    pub fn of(
        kind: &'static str,
        addresses: impl IntoIterator<Item = Address>,
        way: impl Fn(&Address) -> RedisConnectionOptions,
    ) -> Result<Self, BoxError> {
        let client = |address: Address| Ok((address.clone(), options::client(&way(&address))?));
        let all = addresses.into_iter().map(client).collect::<Result<_, BoxError>>()?;
        Ok(Self { kind, all, last: AtomicUsize::new(0) })
    }

    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.all.iter().map(|(address, _)| address)
    }

    /// What the first says who has an answer to `question`; without one, what each said instead.
    pub async fn first<T, F>(&self, question: impl Fn(MultiplexedConnection, Address) -> F) -> Result<T, BoxError>
    where
        F: Future<Output = Result<T, BoxError>>,
    {
        let first = self.last.load(Ordering::Relaxed);
        let mut instead = Vec::new();
        for n in (0..self.all.len()).map(|n| (first + n) % self.all.len()) {
            let (address, client) = &self.all[n];
            let answer = async { question(connect(client).await?, address.clone()).await };
            match timeout(SOON, answer).await.unwrap_or_else(|_| Err(silent(SOON))) {
                Ok(answer) => {
                    self.last.store(n, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => instead.push(format!("the {} {address}: {error}", self.kind)),
            }
        }
        Err(instead.join("; ").into())
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, BoxError> {
    let patience = AsyncConnectionConfig::new().set_connection_timeout(Some(SOON)).set_response_timeout(Some(SOON));
    Ok(client.get_multiplexed_async_connection_with_config(&patience).await?)
}
