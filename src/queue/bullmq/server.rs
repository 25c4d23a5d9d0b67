//! The Redis server of the queues. All queues of a process share one value.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bullmq::{
    QueueKeys,
    options::{RedisConnectionOptions, TlsCerts},
};

use super::{
    address::Address,
    claim::PrefixClaim,
    discovery::Discovery,
    error::{BoxResult, explain_cluster_node, forbidden, unavailable},
    eviction::EvictionCheck,
    options,
    pool::{BatchRedis, RedisPool},
    repair::RepairScript,
    rights::check_rights,
    round_trips::RoundTrips,
    snapshot::{QueueSnapshot, SnapshotQuery, SnapshotReply, SnapshotScript},
    tls,
};
use crate::{
    config::RedisSettings,
    queue::contract::{QueueCounts, Result},
};

/// The default interval of checks for lost or changed settings in Redis.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The Redis server of the queues.
pub struct Server {
    round_trips: RoundTrips,
    settings: RedisSettings,
    tls: Option<TlsCerts>,
    discovery: Discovery,
    /// The address of the master; `None` until it is found.
    address: Mutex<Option<Address>>,
    claim: PrefixClaim,
    snapshot_script: SnapshotScript,
    repair_script: RepairScript,
    eviction_check: EvictionCheck,
    check_interval: Duration,
}

impl Server {
    /// Prepares connections to the server of `settings`, which have passed
    /// [`Config::check`](crate::config::Config::check). Opens none.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`](crate::queue::QueueError::Unavailable) if the settings do not
    /// form an address, or a certificate or key file can't be used.
    pub fn new(settings: &RedisSettings) -> Result<Self> {
        Self::from_settings(settings).map_err(|error| unavailable("redis", error))
    }

    fn from_settings(settings: &RedisSettings) -> BoxResult<Self> {
        tls::install_crypto_provider();
        let tls = tls::certificates(settings)?;
        let discovery = Discovery::from_settings(settings, tls.as_ref())?;
        let address = discovery.fixed_address().cloned();
        let pool = match &address {
            Some(address) => RedisPool::new(&options::client(&options::connection(settings, address, tls.as_ref()))?)?,
            None => RedisPool::without_server()?,
        };
        Ok(Self {
            round_trips: RoundTrips::new(pool),
            settings: settings.clone(),
            tls,
            discovery,
            address: Mutex::new(address),
            claim: PrefixClaim::new(settings.prefix.clone(), None),
            snapshot_script: SnapshotScript::new(),
            repair_script: RepairScript::new(),
            eviction_check: EvictionCheck::default(),
            check_interval: CHECK_INTERVAL,
        })
    }

    /// Uses the queues for the ledger with this identity only: calls fail with
    /// [`QueueError::OtherLedger`](crate::queue::QueueError::OtherLedger) while another one owns
    /// the prefix.
    #[must_use]
    pub fn for_ledger(self, identity: impl Into<String>) -> Self {
        let claim = PrefixClaim::new(self.settings.prefix.clone(), Some(identity.into()));
        Self { claim, ..self }
    }

    /// Returns the identity of the ledger that the jobs are for, if it is known.
    pub(super) fn ledger(&self) -> Option<&str> {
        self.claim.ledger()
    }

    /// Sets the interval of checks for lost or changed settings in Redis; for tests.
    #[cfg(rocket_batch_internals)]
    #[must_use]
    pub const fn with_check_interval(mut self, interval: Duration) -> Self {
        self.check_interval = interval;
        self
    }

    pub(super) const fn check_interval(&self) -> Duration {
        self.check_interval
    }

    pub(super) fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    pub(super) const fn round_trips(&self) -> &RoundTrips {
        &self.round_trips
    }

    /// Returns how to connect to the master, for the `bullmq` crate.
    ///
    /// # Errors
    ///
    /// If the master has not been found yet.
    pub(super) fn connection(&self) -> std::result::Result<RedisConnectionOptions, String> {
        let address = self.address();
        let address = address.as_ref().ok_or("the address of the Redis master is not known yet")?;
        Ok(options::connection(&self.settings, address, self.tls.as_ref()))
    }

    /// Returns whether the address of the master may change.
    pub(super) const fn may_move(&self) -> bool {
        self.discovery.fixed_address().is_none()
    }

    /// Finds the master, and connects to it if its address has changed.
    pub(super) async fn find_master(&self) -> BoxResult<()> {
        let found = self.discovery.find_master().await?;
        let mut address = self.address();
        if address.as_ref() != Some(&found) {
            let connection = options::connection(&self.settings, &found, self.tls.as_ref());
            self.round_trips.redirect_to(&options::client(&connection)?)?;
            tracing::info!(host = found.host, port = found.port, "found the Redis master");
            *address = Some(found);
        }
        Ok(())
    }

    /// Finds the master, checks the permissions, and reads the queue of `keys` once, so that a
    /// wrong setting fails the launch.
    pub(super) async fn check(&self, keys: &QueueKeys) -> BoxResult<()> {
        self.find_master().await?;
        let checks = async {
            check_rights(&self.round_trips, keys).await?;
            let query = SnapshotQuery { keys, max_starts: 0, latest_due: u64::MAX, ids: &[] };
            self.snapshot(&query).await.map(drop).map_err(forbidden)
        };
        let result: BoxResult<()> = checks.await;
        if self.may_move() { result } else { result.map_err(explain_cluster_node) }
    }

    /// Returns the connection pool for handlers of the host.
    #[must_use]
    pub fn database(&self) -> BatchRedis {
        BatchRedis::from(self.round_trips.pool().clone())
    }

    /// Closes the connections. Later calls fail.
    pub async fn close(&self) {
        self.round_trips.close().await;
    }

    /// Reads the state of a queue and claims its prefix. If a job has a reserved id, repairs the
    /// queue first.
    pub(super) async fn snapshot(&self, query: &SnapshotQuery<'_>) -> BoxResult<QueueSnapshot> {
        if let Some(snapshot) = self.try_snapshot(query).await? {
            return Ok(snapshot);
        }
        self.repair_script.repair_reserved_keys(&self.round_trips, query.keys).await?;
        let repaired = self.try_snapshot(query).await?;
        repaired.ok_or_else(|| "another client keeps adding jobs whose ids are reserved keys of the queue".into())
    }

    /// Returns `None` if the queue needs a repair.
    async fn try_snapshot(&self, query: &SnapshotQuery<'_>) -> BoxResult<Option<QueueSnapshot>> {
        match self.snapshot_script.run(&self.round_trips, query, &self.claim).await? {
            SnapshotReply::OtherLedger => Err(self.claim.denied().into()),
            SnapshotReply::NeedsRepair => Ok(None),
            SnapshotReply::Snapshot(snapshot) => {
                self.claim.confirmed();
                Ok(Some(snapshot))
            }
        }
    }

    /// Counts the jobs in each state of the queue of `keys`.
    pub(super) async fn count(&self, keys: &QueueKeys) -> BoxResult<QueueCounts> {
        let mut lengths = redis::pipe();
        lengths.llen(keys.wait()).zcard(keys.prioritized()).zcard(keys.delayed()).llen(keys.active());
        lengths.zcard(keys.completed()).zcard(keys.failed());
        let [wait, prioritized, delayed, active, completed, failed] = self.round_trips.pipeline(lengths).await?;
        Ok(QueueCounts { waiting: wait + prioritized, delayed, active, completed, failed })
    }

    /// Warns if Redis may evict jobs.
    pub(super) async fn check_eviction(&self) {
        self.eviction_check.run(&self.round_trips).await;
    }

    fn address(&self) -> MutexGuard<'_, Option<Address>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("prefix", &self.prefix()).finish_non_exhaustive()
    }
}
