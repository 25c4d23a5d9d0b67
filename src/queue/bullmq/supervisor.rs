//! Keeps one worker of the `bullmq` crate running: starts it, watches it, replaces it, closes it.
//!
//! ```text
//!            ┌───────────── retire ◀── unhealthy ──┐
//!            ▼                                     │
//!   Redis answers? ──▶ start a worker ──▶ watch ──▶ draining: close, before the deadline
//!     ▲      │ no
//!     └──────┘ backoff 50 ms to 1 s, without end
//! ```
//!
//! It never gives up. A replaced worker finishes its running jobs in the background and starts no
//! further one.

use std::{pin::pin, sync::Arc, time::Duration};

use bullmq::{Job, Worker, worker::CancellationToken as JobCancellation};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    attempt::AttemptRunner,
    claim::OtherLedger,
    error::{BoxError, BoxResult},
    health::{Health, Probe},
    options,
    shared::Shared,
    timeouts::QUEUE_CALL_TIMEOUT,
};
use crate::{domain::Backoff, queue::contract::Handler};

/// The interval of probes while all of them succeed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The backoff of probes and of starts while they fail.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

/// The timeout for a worker to open its two connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The timeout for a fetch in flight when a worker is closed. With a shorter one, the crate may
/// leave a job active without an owner.
const FETCH_TIMEOUT: Duration = Duration::from_millis(250);

/// The interval of checks whether a closing worker has reported the results of its jobs.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// Supervises the worker of one queue.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    handler: Arc<dyn Handler>,
    permits: Arc<Semaphore>,
    /// Tracks replaced workers that still have running jobs.
    retired: TaskTracker,
}

/// A worker and the means to close it.
struct WorkerHandle {
    worker: Worker,
    closing: CancellationToken,
    /// Tracks its running handlers.
    running: TaskTracker,
    /// The count of failed round trips when it was started.
    failures: u64,
}

impl Supervisor {
    pub fn new(shared: Arc<Shared>, handler: Arc<dyn Handler>) -> Self {
        let permits = Arc::new(Semaphore::new(shared.settings.concurrency as usize));
        Self { shared, handler, permits, retired: TaskTracker::new() }
    }

    /// Runs a worker until the queue is drained.
    pub async fn run(self) {
        let draining = self.shared.draining.clone();
        let mut short_lived = 0;
        while let Some(Some(worker)) = draining.run_until_cancelled(Box::pin(self.start())).await {
            let started = Instant::now();
            let Some(reason) = self.watch(&worker).await else {
                close(&self.shared, worker).await;
                break;
            };
            tracing::warn!(queue = self.shared.name, reason, "worker replaced");
            self.retire(worker);
            short_lived = if started.elapsed() < BACKOFF.max * 5 { short_lived + 1 } else { 0 };
            self.back_off(short_lived).await;
        }
        self.retired.close();
        let _ = timeout_at(self.shared.deadline() + FETCH_TIMEOUT, self.retired.wait()).await;
    }

    /// Starts a worker as soon as Redis answers.
    async fn start(&self) -> Option<WorkerHandle> {
        for failures in 1.. {
            match self.try_start().await {
                Ok(worker) => {
                    tracing::info!(
                        queue = self.shared.name,
                        failures = failures - 1,
                        "connected to Redis, taking jobs"
                    );
                    return Some(worker);
                }
                Err(error) => self.log_failed_start(failures, &error),
            }
            self.back_off(failures).await;
        }
        None
    }

    /// Warns of the first failure only.
    fn log_failed_start(&self, failures: u32, error: &BoxError) {
        if failures == 1 {
            tracing::warn!(queue = self.shared.name, %error, "worker could not start, retrying");
        } else {
            tracing::debug!(queue = self.shared.name, %error, failures, "worker could not start");
        }
    }

    async fn try_start(&self) -> BoxResult<WorkerHandle> {
        let Shared { server, name, settings, .. } = &*self.shared;
        // Without Redis, the crate would return an error only after half a minute.
        self.shared.snapshot(&[]).await?;
        let failures = server.round_trips().failures();
        let (closing, running) = (self.shared.draining.child_token(), TaskTracker::new());
        let runner = self.attempt_runner(closing.clone(), running.clone());
        let process = move |job: Job, _: JobCancellation| runner.clone().run(job);
        let options = options::worker(settings, server.connection()?, server.prefix());
        let worker = timeout(CONNECT_TIMEOUT, Worker::with_options(name, process, options)).await??;
        worker.run().await?;
        Ok(WorkerHandle { worker, closing, running, failures })
    }

    fn attempt_runner(&self, closing: CancellationToken, running: TaskTracker) -> Arc<AttemptRunner> {
        let (shared, handler, permits) = (self.shared.clone(), self.handler.clone(), self.permits.clone());
        Arc::new(AttemptRunner { shared, handler, permits, closing, running })
    }

    /// Watches a worker and returns why it must be replaced; `None` when a drain begins.
    async fn watch(&self, worker: &WorkerHandle) -> Option<String> {
        let mut health = Health::new(Instant::now());
        let mut probe = pin!(self.probe(worker, 0));
        loop {
            let reason = tokio::select! {
                biased;
                () = self.shared.draining.cancelled() => return None,
                // The channel of events is unbounded, so it must be read.
                Some(event) = worker.worker.next_event() => {
                    tracing::trace!(queue = self.shared.name, ?event, "worker event");
                    health.record_event(&event, Instant::now())
                }
                result = &mut probe => {
                    let reason = health.record_probe(result, Instant::now());
                    probe.set(self.probe(worker, health.failures()));
                    reason
                }
            };
            if reason.is_some() {
                return reason;
            }
        }
    }

    /// Waits, then makes a round trip that is independent of the worker's connections.
    async fn probe(&self, worker: &WorkerHandle, failures: u32) -> Probe {
        let delay = if failures == 0 { PROBE_INTERVAL } else { BACKOFF.jittered(failures, fastrand::f64()) };
        sleep(delay).await;
        match self.shared.snapshot(&[]).await {
            Err(error) if error.is::<OtherLedger>() => Probe::OtherLedger,
            Err(error) => {
                tracing::debug!(queue = self.shared.name, %error, "probe failed, Redis did not respond");
                Probe::Failed
            }
            Ok(_) if self.shared.server.round_trips().failures() != worker.failures => Probe::Recovered,
            Ok(snapshot) if snapshot.ready && worker.has_capacity().await => Probe::JobsReady,
            Ok(_) => Probe::Idle,
        }
    }

    /// Closes a replaced worker in the background.
    fn retire(&self, worker: WorkerHandle) {
        let shared = self.shared.clone();
        self.retired.spawn(async move { close(&shared, worker).await });
    }

    async fn back_off(&self, failures: u32) {
        if failures > 0 {
            let delay = BACKOFF.jittered(failures, fastrand::f64());
            self.shared.draining.run_until_cancelled(sleep(delay)).await;
        }
    }
}

impl WorkerHandle {
    async fn has_capacity(&self) -> bool {
        self.worker.active_count().await < self.worker.concurrency()
    }

    /// Waits until Redis has the results of all jobs of the worker.
    async fn idle(&self) {
        while self.worker.active_count().await > 0 {
            sleep(IDLE_CHECK_INTERVAL).await;
        }
    }

    /// Waits until the handlers have ended and had time to report their results. If the server is
    /// gone, the crate would retry for half a minute and longer. The report is not needed, because
    /// the ledger has the results.
    async fn report_timed_out(&self) {
        self.running.close();
        self.running.wait().await;
        sleep(QUEUE_CALL_TIMEOUT).await;
    }
}

/// Closes a worker. It starts no further job, and running jobs may finish before the deadline of a
/// drain.
async fn close(shared: &Shared, worker: WorkerHandle) {
    worker.closing.cancel();
    worker.worker.pause();
    tokio::select! {
        () = worker.idle() => {}
        () = worker.report_timed_out() => {}
        () = shared.deadline_passed() => {}
    }
    // No handler is awaited any longer, only a fetch that may be in flight. The crate would also
    // wait for its idle loop, and warn that this did not end in time.
    sleep(FETCH_TIMEOUT).await;
    if let Err(error) = worker.worker.close(0).await {
        tracing::debug!(queue = shared.name, %error, "could not close the worker cleanly");
    }
}
