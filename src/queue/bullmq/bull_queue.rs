//! A queue in Redis.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::{
    error::{open_error, unavailable},
    maintenance::{keep_checking, keep_finding_master},
    server::Server,
    shared::Shared,
    supervisor::Supervisor,
};
use crate::{
    config::QueueSettings,
    domain::BatchId,
    queue::contract::{Drained, Handler, Offer, Queue, QueueCondition, QueueCounts, Result},
};

/// A queue in Redis.
pub struct BullQueue {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    started: AtomicBool,
}

impl BullQueue {
    /// Opens the queue called `name`. Connects to Redis, so a wrong address or password is an error
    /// here. `settings` have passed [`Config::check`](crate::config::Config::check).
    ///
    /// # Errors
    ///
    /// [`QueueError::Forbidden`](crate::queue::QueueError::Forbidden) if the Redis user lacks a
    /// permission, and [`QueueError::Unavailable`](crate::queue::QueueError::Unavailable) if Redis
    /// does not respond or replies with an error.
    pub async fn open(name: impl Into<String>, settings: &QueueSettings, server: Arc<Server>) -> Result<Self> {
        let shared = Arc::new(Shared::new(name.into(), settings, server));
        shared.server.check(&shared.keys).await.map_err(|error| open_error(&shared.name, error))?;
        shared.write_settings().await?;
        let tasks = TaskTracker::new();
        tasks.spawn(keep_checking(shared.clone()));
        if shared.server.may_move() {
            tasks.spawn(keep_finding_master(shared.clone()));
        }
        Ok(Self { shared, tasks, started: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Queue for BullQueue {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn offer(&self, offers: &[Offer]) -> Result<u64> {
        self.shared.offer(offers).await
    }

    async fn withdraw(&self, batch: BatchId) -> Result<()> {
        self.shared.withdraw(batch).await
    }

    async fn condition(&self) -> QueueCondition {
        self.shared.condition().await
    }

    async fn counts(&self) -> Result<QueueCounts> {
        self.shared.server.count(&self.shared.keys).await.map_err(|error| unavailable(self.name(), error))
    }

    async fn work(&self, handler: Arc<dyn Handler>) -> Result<()> {
        if !self.started.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(Supervisor::new(self.shared.clone(), handler).run());
        }
        Ok(())
    }

    async fn drain(&self, deadline: Instant) -> Drained {
        let deadline = self.shared.begin_drain(deadline);
        self.tasks.close();
        let ended = timeout_at(deadline, self.tasks.wait()).await;
        match (ended, self.shared.running.load(Ordering::SeqCst)) {
            (Ok(()), _) | (Err(_), 0) => Drained::Clean,
            (Err(_), left) => Drained::Left(left),
        }
    }

    async fn ping(&self) -> Result<()> {
        self.shared.check_claim().await
    }
}

impl Drop for BullQueue {
    /// Stops the worker and the maintenance without waiting for running handlers.
    fn drop(&mut self) {
        self.shared.draining.cancel();
    }
}

impl fmt::Debug for BullQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BullQueue")
            .field("name", &self.shared.name)
            .field("server", &self.shared.server)
            .finish_non_exhaustive()
    }
}
