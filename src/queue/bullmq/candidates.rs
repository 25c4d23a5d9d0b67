//! Servers that can report where the Redis master is: Sentinels, or the nodes of a cluster.
//!
//! They are queried one after the other, starting with the one that answered the previous query.
//! The first answer is used.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bullmq::options::RedisConnectionOptions;
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    address::Address,
    error::{BoxResult, timed_out},
    options,
};

/// The timeout to connect to a candidate, and for its answer.
const CANDIDATE_TIMEOUT: Duration = Duration::from_millis(500);

/// Candidates of one kind.
pub(super) struct Candidates {
    /// The kind, for error messages.
    kind: &'static str,
    all: Vec<(Address, Client)>,
    /// The index of the candidate that answered the previous query.
    last_answered: AtomicUsize,
}

impl Candidates {
    /// Creates a client for each of `addresses`. Connects to none of them.
    pub fn new(
        kind: &'static str,
        addresses: impl IntoIterator<Item = Address>,
        connection_to: impl Fn(&Address) -> RedisConnectionOptions,
    ) -> BoxResult<Self> {
        let client = |address: Address| Ok((address.clone(), options::client(&connection_to(&address))?));
        let all = addresses.into_iter().map(client).collect::<BoxResult<_>>()?;
        Ok(Self { kind, all, last_answered: AtomicUsize::new(0) })
    }

    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.all.iter().map(|(address, _)| address)
    }

    /// Returns the first answer to `query`.
    ///
    /// # Errors
    ///
    /// Lists the error of each candidate, if none answered.
    pub async fn first_answer<T, F>(&self, query: impl Fn(MultiplexedConnection, Address) -> F) -> BoxResult<T>
    where
        F: Future<Output = BoxResult<T>>,
    {
        let start = self.last_answered.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for (index, (address, client)) in self.all.iter().enumerate().cycle().skip(start).take(self.all.len()) {
            let answer = async { query(connect(client).await?, address.clone()).await };
            match timeout(CANDIDATE_TIMEOUT, answer).await.unwrap_or_else(|_| Err(timed_out(CANDIDATE_TIMEOUT))) {
                Ok(answer) => {
                    self.last_answered.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => errors.push(format!("the {} {address}: {error}", self.kind)),
            }
        }
        Err(errors.join("; ").into())
    }
}

async fn connect(client: &Client) -> BoxResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CANDIDATE_TIMEOUT))
        .set_response_timeout(Some(CANDIDATE_TIMEOUT));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}
