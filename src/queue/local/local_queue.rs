//! The workers of a queue in this process. No lock is held across an await.
//!
//! Each change wakes one worker, and a worker that finds a task wakes the next. One is enough,
//! because a worker that finds no task sleeps until the time that the scheduler named. So a new
//! task does not wake a thousand idle workers.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::scheduler::{Next, Scheduler};
use crate::{
    config::QueueSettings,
    domain::{BatchId, Delivery, Task},
    queue::{
        contract::{Drained, Handler, Offer, Queue, QueueCondition, QueueCounts, Result},
        run_handler::run_handler,
    },
};

/// A queue in this process. Its operations never return an error. Dropping it stops its workers as
/// a drain does, without waiting for running handlers.
pub struct LocalQueue {
    shared: Arc<Shared>,
    workers: TaskTracker,
    started: AtomicBool,
}

/// The state that the queue and its workers share.
struct Shared {
    name: String,
    scheduler: Mutex<Scheduler>,
    /// Wakes one worker when a task may have become available, and all of them on close.
    changed: Notify,
}

impl LocalQueue {
    /// Creates an empty queue called `name`. `settings` have passed
    /// [`Config::check`](crate::config::Config::check).
    #[must_use]
    pub fn new(name: impl Into<String>, settings: &QueueSettings) -> Self {
        let scheduler = Mutex::new(Scheduler::new(settings.clone()));
        Self {
            shared: Arc::new(Shared { name: name.into(), scheduler, changed: Notify::new() }),
            workers: TaskTracker::new(),
            started: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Queue for LocalQueue {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn offer(&self, offers: &[Offer]) -> Result<u64> {
        let added = self.shared.scheduler().offer(offers, Instant::now());
        self.shared.changed.notify_one();
        Ok(added)
    }

    async fn withdraw(&self, batch: BatchId) -> Result<()> {
        self.shared.scheduler().withdraw(batch);
        Ok(())
    }

    async fn condition(&self) -> QueueCondition {
        let is_limited = self.shared.scheduler().is_rate_limited(Instant::now());
        if is_limited { QueueCondition::RateLimited } else { QueueCondition::Open }
    }

    async fn counts(&self) -> Result<QueueCounts> {
        Ok(self.shared.scheduler().counts())
    }

    async fn work(&self, handler: Arc<dyn Handler>) -> Result<()> {
        if self.started.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let workers = self.shared.scheduler().concurrency();
        for _ in 0..workers {
            self.workers.spawn(Arc::clone(&self.shared).work(Arc::clone(&handler)));
        }
        Ok(())
    }

    async fn drain(&self, deadline: Instant) -> Drained {
        self.shared.close();
        self.workers.close();
        let ended = timeout_at(deadline, self.workers.wait()).await;
        match (ended, self.shared.scheduler().counts().active) {
            (Ok(()), _) | (Err(_), 0) => Drained::Clean,
            (Err(_), left) => Drained::Left(left),
        }
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

impl Drop for LocalQueue {
    /// Stops the workers, which would otherwise wait forever for offers.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for LocalQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.shared.scheduler().counts();
        f.debug_struct("LocalQueue").field("name", &self.shared.name).field("counts", &counts).finish_non_exhaustive()
    }
}

impl Shared {
    /// Locks the scheduler. After a panic under this lock at worst a task is missing, and the
    /// feeder offers it again.
    fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts no further task and ends idle workers.
    fn close(&self) {
        self.scheduler().close();
        self.changed.notify_waiters();
    }

    /// Runs one worker until the queue is closed.
    async fn work(self: Arc<Self>, handler: Arc<dyn Handler>) {
        while let Some((task, waited)) = self.next().await {
            // A finished task leaves this queue, so no earlier end was ever acknowledged.
            let delivery = Delivery::Enqueued { task, acknowledged: 0 };
            let disposition = run_handler(&self.name, &*handler, (delivery, waited), &()).await;
            self.scheduler().finish(&task, disposition, Instant::now(), fastrand::f64());
            // A handler that never yields must not block the other tasks of its thread.
            consume_budget().await;
        }
    }

    /// Waits for the next task, and returns how long it could have started; `None` after the queue
    /// was closed.
    async fn next(&self) -> Option<(Task, Option<Duration>)> {
        loop {
            // Subscribes before it asks the scheduler, so it misses no change in between.
            let mut changed = pin!(self.changed.notified());
            let now = Instant::now();
            let next = self.scheduler().next(now);
            match next {
                Next::Take(task) => {
                    self.changed.notify_one();
                    return Some((task, self.scheduler().waited(&task, now)));
                }
                Next::At(due) => tokio::select! {
                    () = &mut changed => {}
                    () = sleep_until(due) => {}
                },
                Next::AfterChange => changed.await,
                Next::Closed => return None,
            }
        }
    }
}
