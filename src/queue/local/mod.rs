//! The queue in this process: nothing to install, nothing to reach, and nothing left when the
//! process ends.
//!
//! ```text
//!   offer, withdraw, pause …        ┌────── Line ──────┐        worker 1 ─┐
//!   ──────────────────────────────▶ │ who, when, never │ ◀───── worker 2 ─┼─▶ Handler
//!                       changed ──▶ └──────────────────┘        worker … ─┘
//! ```
//!
//! `Scheduler` decides and knows no task of tokio's; what is here carries its decisions out: as
//! many workers as the settings say, each of which asks the line, works, reports, and asks again.
//! The lock is never held over an await.
//!
//! One worker at a time is woken, and wakes the next one when it found work. That is enough, since
//! whoever finds none waits for the very moment that the line named, and it spares a thousand
//! workers from waking for one task.

mod scheduler;

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use tokio::{
    sync::Notify,
    task::consume_budget,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::task::TaskTracker;

use self::scheduler::{Next, Scheduler};
use super::{Drained, Handler, Offer, Queue, QueueCounts, Result, attempt};
use crate::{
    config::QueueSettings,
    domain::{BatchId, Delivery, Task},
};

/// The queue in this process. It never answers an error. Dropping it has the effect of a drain that
/// nobody waits for.
pub struct LocalQueue {
    shared: Arc<Shared>,
    workers: TaskTracker,
    started: AtomicBool,
}

/// What the queue and its workers have in common.
struct Shared {
    name: String,
    scheduler: Mutex<Scheduler>,
    /// Told of whatever may turn a decision of the line: one waiter for work, all of them for the
    /// end.
    changed: Notify,
}

impl LocalQueue {
    /// Makes an empty queue that is called `name`. `settings` have passed
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

    async fn pause(&self) -> Result<()> {
        self.shared.scheduler().pause();
        Ok(())
    }

    async fn resume(&self) -> Result<()> {
        self.shared.scheduler().resume();
        self.shared.changed.notify_one();
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
    /// Lets the workers go; they would wait for ever for offers that nobody can make any more.
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
    /// The line, also after a panic under its lock: at worst a task is missing then, and the feeder
    /// brings it back.
    fn scheduler(&self) -> MutexGuard<'_, Scheduler> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out nothing from here on, and sends idle workers home.
    fn close(&self) {
        self.scheduler().close();
        self.changed.notify_waiters();
    }

    /// One worker's life.
    async fn work(self: Arc<Self>, handler: Arc<dyn Handler>) {
        while let Some(task) = self.next().await {
            // What ended is out of it, and never comes back by itself.
            let delivery = Delivery::Enqueued { task, acknowledged: 0 };
            let answer = attempt(&self.name, &*handler, delivery, &()).await;
            tracing::debug!(queue = self.name, %task, ?answer, "an attempt ended");
            self.scheduler().finish(&task, answer, Instant::now(), fastrand::f64());
            // A handler that never has to wait must not keep its thread from everybody else.
            consume_budget().await;
        }
    }

    /// Waits for a task; `None` when there will be none any more.
    async fn next(&self) -> Option<Task> {
        loop {
            // Made before the line is asked, so that no change between the question and the wait is
            // missed.
            let mut changed = pin!(self.changed.notified());
            let next = self.scheduler().next(Instant::now());
            match next {
                Next::Take(task) => {
                    self.changed.notify_one();
                    return Some(task);
                }
                Next::At(due) => tokio::select! {
                    () = &mut changed => {}
                    () = sleep_until(due) => {}
                },
                Next::Never => changed.await,
                Next::Over => return None,
            }
        }
    }
}
