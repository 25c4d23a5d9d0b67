//! The state that a queue shares with its worker and its maintenance.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bullmq::QueueKeys;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    error::{BoxResult, unavailable},
    producer::Producer,
    rate_check::RateCheck,
    server::Server,
    snapshot::{QueueSnapshot, SnapshotQuery},
};
use crate::{
    config::QueueSettings,
    queue::contract::{QueueCondition, Result},
};

/// How much longer than the longest backoff one of our jobs may be delayed. A longer delay was set
/// by another client, and the job is replaced.
const EXCESS_DELAY: Duration = Duration::from_secs(60);

/// The shared state of one queue.
pub(super) struct Shared {
    pub name: String,
    pub settings: QueueSettings,
    pub server: Arc<Server>,
    pub keys: QueueKeys,
    pub producer: Producer,
    /// The number of running handlers.
    pub running: AtomicU64,
    /// Whether another client has paused the queue, as seen by the last check.
    paused: AtomicBool,
    rate_check: RateCheck,
    /// Cancelled when no further job may start.
    pub draining: CancellationToken,
    /// When a drain ends. Set before a drain cancels `draining`.
    deadline: OnceLock<Instant>,
}

impl Shared {
    pub fn new(name: String, settings: &QueueSettings, server: Arc<Server>) -> Self {
        Self {
            keys: QueueKeys::new(&name, Some(server.prefix())),
            producer: Producer::new(&name, server.clone()),
            name,
            settings: settings.clone(),
            server,
            running: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            rate_check: RateCheck::default(),
            draining: CancellationToken::new(),
            deadline: OnceLock::new(),
        }
    }

    /// Reads the state of the queue and of the jobs `ids`.
    pub async fn snapshot(&self, ids: &[String]) -> BoxResult<QueueSnapshot> {
        let max_starts = self.settings.rate_limit.0.map_or(0, |limit| limit.jobs);
        let latest_due = SystemTime::now() + self.settings.max_backoff + EXCESS_DELAY;
        let latest_due = latest_due.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latest_due = u64::try_from(latest_due.as_millis()).unwrap_or(u64::MAX);
        self.server.snapshot(&SnapshotQuery { keys: &self.keys, max_starts, latest_due, ids }).await
    }

    /// Checks that the prefix belongs to this ledger, and claims it again after Redis was flushed.
    pub async fn check_claim(&self) -> Result<()> {
        self.snapshot(&[]).await.map(drop).map_err(|error| unavailable(&self.name, error))
    }

    /// Writes the settings that Redis stores for the whole queue. They are lost when Redis is
    /// flushed.
    pub async fn write_settings(&self) -> Result<()> {
        self.check_claim().await?;
        let max = self.settings.global_concurrency;
        self.producer
            .call(async move |queue| match max {
                Some(max) => queue.set_global_concurrency(max.into()).await,
                None => queue.remove_global_concurrency().await,
            })
            .await
    }

    /// Returns whether waiting tasks can start now.
    pub async fn condition(&self) -> QueueCondition {
        let starts = self.settings.rate_limit.0.map(|limit| limit.jobs);
        match self.rate_check.condition(self.server.round_trips(), &self.keys, starts).await {
            QueueCondition::Open if self.paused.load(Ordering::SeqCst) => QueueCondition::Paused,
            condition => condition,
        }
    }

    /// Logs whether another client has paused the queue, on the first call and after each change. A
    /// pause by a tool of BullMQ stops all processes.
    pub async fn check_pause(&self) {
        let mut command = redis::cmd("HEXISTS");
        command.arg(self.keys.meta()).arg("paused");
        match self.server.round_trips().command(command).await {
            Ok(paused) if self.paused.swap(paused, Ordering::SeqCst) == paused => {}
            Ok(true) => {
                tracing::warn!(queue = self.name, "queue paused by another client, no jobs start until it is resumed");
            }
            Ok(false) => tracing::info!(queue = self.name, "queue resumed"),
            Err(error) => tracing::debug!(queue = self.name, %error, "could not read whether the queue is paused"),
        }
    }

    /// Begins a drain, unless one has begun, and returns its deadline.
    pub fn begin_drain(&self, deadline: Instant) -> Instant {
        let deadline = *self.deadline.get_or_init(|| deadline);
        self.draining.cancel();
        deadline
    }

    /// Returns the deadline of the drain, and the current time if there is none.
    pub fn deadline(&self) -> Instant {
        self.deadline.get().copied().unwrap_or_else(Instant::now)
    }

    /// Waits until a drain has begun and its deadline has passed.
    pub async fn deadline_passed(&self) {
        self.draining.cancelled().await;
        sleep_until(self.deadline()).await;
    }
}
