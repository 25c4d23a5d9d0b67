//! One job in a worker's hands: from Redis's words to a handler's, and back.
//!
//! ```text
//!   job ──▶ wire::read ──▶ a hand is free ──▶ Handler ──▶ Answer ──▶ what the crate is told
//!              │                 │
//!              │                 └─ the worker is being closed: given back
//!              ├─ newer than we are: delayed, nothing spent, for some minutes
//!              └─ malformed: failed for good; if the ledger has the job open, the feeder brings it anew
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
    Shared, options,
    progress::JobProgress,
    server::PROMPT,
    wire::{self, Unreadable},
};
use crate::{
    domain::{Delivery, Task},
    queue::{Disposition, Handler, attempt},
};

/// How long a task rests that was given back by a worker which goes on: without, it would come
/// again at once.
const REST: Duration = Duration::from_millis(50);

/// How long a task rests that only a newer process can read.
const UNTIL_A_NEWER_ONE: Duration = Duration::from_secs(10);

/// So often it is handed out to us before it is taken to be nobody's: five minutes, in which a
/// rolling deployment brings a newer process.
const NO_NEWER_ONE_COMES: u32 = 30;

/// How long a task is out of everybody's reach while it is taken out. If we die in between, it
/// comes again after this.
const OUT_OF_REACH: Duration = Duration::from_secs(5);

/// What all attempts of one worker have in common.
pub(super) struct Attempts {
    pub shared: Arc<Shared>,
    pub handler: Arc<dyn Handler>,
    /// As many as the settings allow, also while a worker that was replaced ends its last tasks.
    pub permits: Arc<Semaphore>,
    /// Cancelled when the worker is to begin nothing any more. What it fetched all the same is
    /// given back.
    pub closing: CancellationToken,
    /// Handlers that run.
    pub running: TaskTracker,
}

impl Attempts {
    /// What the crate calls for each job.
    pub async fn process(self: Arc<Self>, job: Job) -> Result<Value, Error> {
        let delivery = match wire::read(job.id(), job.attempts_made(), job.data()) {
            Ok(delivery) => delivery,
            Err(newer @ Unreadable::Newer(_)) if job.attempts_started() < NO_NEWER_ONE_COMES => {
                tracing::info!(queue = self.shared.name, job = job.id(), %newer, "a task is left to a newer process");
                return later(&job, UNTIL_A_NEWER_ONE).await;
            }
            Err(unreadable) => {
                tracing::error!(queue = self.shared.name, job = job.id(), %unreadable, "a task can't be read");
                return Err(Error::Unrecoverable(unreadable.to_string()));
            }
        };
        let hand = self.closing.run_until_cancelled(self.permits.acquire()).await;
        if self.closing.is_cancelled() {
            return now();
        }
        let answer = self.work(delivery, &JobProgress::of(&job)).await;
        drop(hand);
        self.conclude(&job, answer).await
    }

    async fn work(&self, delivery: Delivery<Task>, progress: &JobProgress<'_>) -> Disposition {
        let running = (Running::one_of(&self.shared.running), self.running.token());
        let answer = attempt(&self.shared.name, &*self.handler, delivery, progress).await;
        drop(running);
        tracing::debug!(queue = self.shared.name, task = %delivery, ?answer, "an attempt ended");
        answer
    }

    async fn conclude(&self, job: &Job, answer: Disposition) -> Result<Value, Error> {
        match answer {
            Disposition::Ack => Ok(Value::Null),
            Disposition::Retry(why) if options::are_ours(&self.shared.settings, job.opts()) => {
                Err(Error::ProcessingError(why))
            }
            // Retries by the options of a stranger are not ours to make. If the ledger has the job
            // open, the feeder brings it anew.
            Disposition::Retry(why) | Disposition::Fail(why) => Err(Error::Unrecoverable(why)),
            Disposition::Release if self.closing.is_cancelled() => now(),
            Disposition::Release => later(job, REST).await,
            Disposition::Discard => self.forget(job).await,
        }
    }

    /// Takes the job out. Nobody can take out what somebody works, so it is put aside first.
    async fn forget(&self, job: &Job) -> Result<Value, Error> {
        let aside = later(job, OUT_OF_REACH).await;
        if matches!(aside, Err(Error::Delayed)) {
            let id = job.id().to_owned();
            let removed = self.shared.with_queue(async move |queue| queue.remove(&id).await).await;
            if let Err(error) = removed {
                tracing::warn!(queue = self.shared.name, job = job.id(), %error, "a task could not be taken out; it comes again");
            }
        }
        aside
    }
}

/// Back to its place, at once; the crate's way to say so.
const fn now() -> Result<Value, Error> {
    Err(Error::RateLimited { delay_ms: 0 })
}

/// Back to its place after a rest, with no attempt spent.
async fn later(job: &Job, rest: Duration) -> Result<Value, Error> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let due = u64::try_from((clock + rest).as_millis()).unwrap_or(u64::MAX);
    match timeout(PROMPT, job.move_to_delayed(due)).await {
        Ok(Ok(())) => Err(Error::Delayed),
        // Where it can't be put aside it is given back as it is; where that fails as well, its lock
        // runs out and it is found.
        Ok(Err(_)) | Err(_) => now(),
    }
}

/// Counts a handler for as long as it runs, however it ends.
struct Running<'a>(&'a AtomicU64);

impl<'a> Running<'a> {
    fn one_of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
