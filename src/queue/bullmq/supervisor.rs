//! Keeps one worker of the crate at work: makes it, watches it, replaces it, closes it.
//!
//! ```text
//!          ┌───────────── retire ◀── sick ──┐
//!          ▼                                │
//!   Redis answers? ──▶ make a worker ──▶ watch ──▶ draining: close, within the deadline
//!     ▲      │ no
//!     └──────┘ backoff 50 ms to 1 s, for ever
//! ```
//!
//! There is no state in which it gives up. A worker that is replaced ends what it has begun, in the
//! background, and begins nothing.

use std::{pin::pin, sync::Arc, time::Duration};

use bullmq::{Job, Worker, worker::CancellationToken as JobCancellation};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    PATIENT, Shared,
    attempt::Attempts,
    health::{Health, Probe},
    options,
    server::BoxError,
};
use crate::{domain::Backoff, queue::Handler};

/// Between two round trips while all is well.
const PULSE: Duration = Duration::from_secs(1);

/// Between two tries while it is not.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// How long a worker may take to stand: two connections.
const STANDING: Duration = Duration::from_secs(4);

/// What a fetch that is under way needs to land. The crate leaves a job without an owner when it is
/// closed with less.
const LANDING: Duration = Duration::from_millis(250);

/// Looks after one queue's worker.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    permits: Arc<Semaphore>,
    /// Workers that were replaced and have tasks to end.
    retired: TaskTracker,
}

/// A worker and the means to close it.
struct WorkerHandle {
    worker: Worker,
    closing: CancellationToken,
    /// Its handlers that run.
    running: TaskTracker,
    /// [`Server::failures`](super::Server::failures) when it was made.
    failures: u64,
}

impl Supervisor {
    pub fn new(shared: Arc<Shared>, handler: Arc<dyn Handler>) -> Self {
        let permits = Arc::new(Semaphore::new(shared.settings.concurrency as usize));
        Self { shared, handler, permits, retired: TaskTracker::new() }
    }

    /// Works until the drain is over.
    pub async fn run(self) {
        let draining = self.shared.draining.clone();
        let mut quick = 0;
        while let Some(Some(worker_handle)) = draining.run_until_cancelled(self.make()).await {
            let made = Instant::now();
            let Some(why) = self.watch(&worker_handle).await else {
                close(self.shared.clone(), worker_handle).await;
                break;
            };
            tracing::warn!(queue = self.shared.name, why, "the queue's worker is replaced");
            self.retire(worker_handle);
            quick = if made.elapsed() < BACKOFF.max * 5 { quick + 1 } else { 0 };
            self.rest(quick).await;
        }
        self.retired.close();
        let _ = timeout_at(self.shared.deadline() + LANDING, self.retired.wait()).await;
    }

    /// Makes a worker as soon as Redis answers.
    async fn make(&self) -> Option<WorkerHandle> {
        for failures in 1.. {
            match self.try_to_make().await {
                Ok(worker_handle) => {
                    tracing::info!(queue = self.shared.name, failures = failures - 1, "the queue's worker stands");
                    return Some(worker_handle);
                }
                Err(error) if failures == 1 => {
                    tracing::warn!(queue = self.shared.name, %error, "the queue's worker can't be made; it is tried again");
                }
                Err(error) => {
                    tracing::debug!(queue = self.shared.name, %error, failures, "the queue's worker can't be made");
                }
            }
            self.rest(failures).await;
        }
        None
    }

    async fn try_to_make(&self) -> Result<WorkerHandle, BoxError> {
        let Shared { server, name, settings, .. } = &*self.shared;
        // The crate would try for half a minute before it says that nobody is there.
        self.shared.look(&[]).await?;
        let failures = server.failures();
        let closing = self.shared.draining.child_token();
        let running = TaskTracker::new();
        let attempts = Arc::new(Attempts {
            shared: self.shared.clone(),
            handler: self.handler.clone(),
            permits: self.permits.clone(),
            closing: closing.clone(),
            running: running.clone(),
        });
        let process = move |job: Job, _: JobCancellation| attempts.clone().process(job);
        let options = options::worker(settings, server.connection()?, server.prefix());
        let worker = timeout(STANDING, Worker::with_options(name, process, options)).await??;
        worker.run().await?;
        Ok(WorkerHandle { worker, closing, running, failures })
    }

    /// Watches until the worker has to be replaced, and says why; `None` when the drain begins.
    async fn watch(&self, worker_handle: &WorkerHandle) -> Option<String> {
        let mut health = Health::new(Instant::now());
        let mut probe = pin!(self.probe(worker_handle, 0));
        loop {
            let sick = tokio::select! {
                biased;
                () = self.shared.draining.cancelled() => return None,
                // Its channel has no bound: somebody has to read it.
                Some(event) = worker_handle.worker.next_event() => {
                    tracing::trace!(queue = self.shared.name, ?event, "the queue's worker says");
                    health.heard(&event, Instant::now())
                }
                felt = &mut probe => {
                    let sick = health.felt(felt, Instant::now());
                    probe.set(self.probe(worker_handle, health.failures()));
                    sick
                }
            };
            if sick.is_some() {
                return sick;
            }
        }
    }

    /// A round trip of our own, after a pause.
    async fn probe(&self, worker_handle: &WorkerHandle, failures: u32) -> Probe {
        let pause = if failures == 0 { PULSE } else { BACKOFF.jittered(failures, fastrand::f64()) };
        sleep(pause).await;
        match self.shared.look(&[]).await {
            Err(error) => {
                tracing::debug!(queue = self.shared.name, %error, "Redis does not answer");
                Probe::Away
            }
            Ok(_) if self.shared.server.failures() != worker_handle.failures => Probe::Back,
            Ok(look)
                if look.ready && worker_handle.worker.active_count().await < worker_handle.worker.concurrency() =>
            {
                Probe::Ready
            }
            Ok(_) => Probe::Quiet,
        }
    }

    /// Lets a worker end what it has begun, in the background.
    fn retire(&self, worker_handle: WorkerHandle) {
        self.retired.spawn(close(self.shared.clone(), worker_handle));
    }

    async fn rest(&self, failures: u32) {
        if failures > 0 {
            let pause = BACKOFF.jittered(failures, fastrand::f64());
            self.shared.draining.run_until_cancelled(sleep(pause)).await;
        }
    }
}

/// Closes a worker: it begins nothing from here on, and what runs may end, until the deadline of a
/// drain.
async fn close(shared: Arc<Shared>, worker_handle: WorkerHandle) {
    worker_handle.closing.cancel();
    worker_handle.worker.pause();
    tokio::select! {
        () = idle(&worker_handle.worker) => {}
        () = unheard(&worker_handle) => {}
        () = shared.too_late() => {}
    }
    // It waits for no handler any more, only for the fetch that may be under way.
    let landing = u64::try_from(LANDING.as_millis()).unwrap_or(u64::MAX);
    if let Err(error) = worker_handle.worker.close(landing).await {
        tracing::debug!(queue = shared.name, %error, "a worker did not close well");
    }
}

/// Waits until every task of the worker is settled in Redis.
async fn idle(worker: &Worker) {
    while worker.active_count().await > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until its handlers have ended, and what they answered could have been settled. The crate
/// tries for half a minute and more to tell a server that is gone, which nobody needs to know: the
/// ledger does.
async fn unheard(worker_handle: &WorkerHandle) {
    worker_handle.running.close();
    worker_handle.running.wait().await;
    sleep(PATIENT).await;
}
