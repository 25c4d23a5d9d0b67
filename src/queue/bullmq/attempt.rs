//! One attempt of a job: reads the job, calls the handler, and reports the result to the `bullmq`
//! crate.
//!
//! ```text
//!   job ──▶ wire::read ──▶ permit ──▶ Handler ──▶ Disposition ──▶ result for the crate
//!              │              │
//!              │              └─ the worker is closing: released
//!              ├─ of a newer version or another ledger: delayed, for some minutes; spends no attempt
//!              └─ malformed: failed; if it is open in the ledger, the feeder offers it again
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bullmq::{Error, Job};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    options,
    progress::JobProgress,
    shared::Shared,
    timeouts::ROUND_TRIP_TIMEOUT,
    wire::{self, Unreadable},
};
use crate::{
    domain::{Delivery, Task},
    queue::{
        contract::{Disposition, Handler},
        run_handler::run_handler,
    },
};

/// The delay of a released job. Without it, the same worker would fetch the job again at once.
const RELEASE_DELAY: Duration = Duration::from_millis(50);

/// The delay of a job that only another process can run: a newer version, or one of another ledger.
const DELAY_FOR_OTHERS: Duration = Duration::from_secs(10);

/// The number of starts after which such a job fails. With the delay above this is
/// five minutes, in which a rolling deployment starts a newer process.
const MAX_STARTS_FOR_OTHERS: u32 = 30;

/// The delay of a job while it is being removed. If this process dies in between, the job is
/// delivered again after this delay.
const DISCARD_DELAY: Duration = Duration::from_secs(5);

/// Runs the attempts of one worker.
pub(super) struct AttemptRunner {
    pub shared: Arc<Shared>,
    pub handler: Arc<dyn Handler>,
    /// Limits concurrent attempts to the settings, also while a replaced worker finishes its last
    /// jobs.
    pub permits: Arc<Semaphore>,
    /// Cancelled when the worker must start no further job. Jobs that it fetches later are
    /// released.
    pub closing: CancellationToken,
    /// Tracks running handlers.
    pub running: TaskTracker,
}

impl AttemptRunner {
    /// Runs one attempt. The `bullmq` crate calls this for each job.
    pub async fn run(self: Arc<Self>, job: Job) -> Result<Value, Error> {
        match wire::read(job.id(), job.attempts_made(), job.data(), self.shared.server.ledger()) {
            Ok(delivery) => self.deliver(&job, delivery).await,
            Err(unreadable) => self.reject(&job, unreadable).await,
        }
    }

    async fn deliver(&self, job: &Job, delivery: Delivery<Task>) -> Result<Value, Error> {
        let permit = self.closing.run_until_cancelled(self.permits.acquire()).await;
        if self.closing.is_cancelled() {
            return release_now();
        }
        let disposition = self.call_handler((delivery, waited(job)), &JobProgress::new(job)).await;
        drop(permit);
        self.conclude(job, disposition).await
    }

    /// Delays a job of a newer version or of another ledger, and fails a malformed one.
    async fn reject(&self, job: &Job, unreadable: Unreadable) -> Result<Value, Error> {
        let is_for_others = matches!(unreadable, Unreadable::Newer(_) | Unreadable::OtherLedger);
        if is_for_others && job.attempts_started() < MAX_STARTS_FOR_OTHERS {
            let queue = &self.shared.name;
            tracing::info!(queue, job = job.id(), %unreadable, "job is for another process, delayed");
            return release_after(job, DELAY_FOR_OTHERS).await;
        }
        tracing::error!(queue = self.shared.name, job = job.id(), %unreadable, "job is unreadable, failed");
        Err(Error::Unrecoverable(unreadable.to_string()))
    }

    async fn call_handler(
        &self,
        delivery: (Delivery<Task>, Option<Duration>),
        progress: &JobProgress<'_>,
    ) -> Disposition {
        let running = (RunningGuard::new(&self.shared.running), self.running.token());
        let disposition = run_handler(&self.shared.name, &*self.handler, delivery, progress).await;
        drop(running);
        disposition
    }

    async fn conclude(&self, job: &Job, disposition: Disposition) -> Result<Value, Error> {
        match disposition {
            Disposition::Ack => Ok(Value::Null),
            Disposition::Retry(reason) if options::has_our_retry_options(&self.shared.settings, job.opts()) => {
                Err(Error::ProcessingError(reason))
            }
            // Another client set the retry options of this job, and they may be harmful. If the job
            // is open in the ledger, the feeder offers it again.
            Disposition::Retry(reason) | Disposition::Fail(reason) => Err(Error::Unrecoverable(reason)),
            Disposition::Release if self.closing.is_cancelled() => release_now(),
            Disposition::Release => release_after(job, RELEASE_DELAY).await,
            Disposition::Discard => self.discard(job).await,
        }
    }

    /// Removes the job. BullMQ removes no active job, so this delays it first.
    async fn discard(&self, job: &Job) -> Result<Value, Error> {
        let delayed = release_after(job, DISCARD_DELAY).await;
        if matches!(delayed, Err(Error::Delayed)) {
            let id = job.id().to_owned();
            let removed = self.shared.producer.call(async move |queue| queue.remove(&id).await).await;
            if let Err(error) = removed {
                let queue = &self.shared.name;
                tracing::warn!(queue, job = job.id(), %error, "could not discard the job, it is delivered again");
            }
        }
        delayed
    }
}

/// How long a job could have started, by the clock of the process that added it. Only known at its
/// first start: of a later one the queue keeps no time.
fn waited(job: &Job) -> Option<Duration> {
    if job.attempts_started() > 1 {
        return None;
    }
    let ready = Duration::from_millis(job.timestamp().saturating_add(job.delay()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(now.saturating_sub(ready))
}

/// Returns the job to the queue at once. The crate does so for this error.
const fn release_now() -> Result<Value, Error> {
    Err(Error::RateLimited { delay_ms: 0 })
}

/// Returns the job to the queue after `delay`, without spending an attempt.
async fn release_after(job: &Job, delay: Duration) -> Result<Value, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let due = u64::try_from((now + delay).as_millis()).unwrap_or(u64::MAX);
    match timeout(ROUND_TRIP_TIMEOUT, job.move_to_delayed(due)).await {
        Ok(Ok(())) => Err(Error::Delayed),
        // The delay failed, so the job is released without one. If that fails too, its lock expires
        // and the stall check returns it.
        Ok(Err(_)) | Err(_) => release_now(),
    }
}

/// Counts a handler while it runs, also if it panics or is dropped.
struct RunningGuard<'a>(&'a AtomicU64);

impl<'a> RunningGuard<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
