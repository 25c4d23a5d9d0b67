//! The state that all workers of a process share.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{
    batch_log::BatchLog, code_parameters::CodeParametersCache, finished_jobs::FinishedJobs, hooks::Hooks,
    presence::Presence, summaries::Summaries, wakeup::Wakeup,
};
use crate::{
    config::Config,
    domain::{Backoff, BatchId, CodeScheme, StatusTask, Task, error_chain},
    ledger::{Estimator, Ledger, LedgerError, Outage, Result, Waiting},
    live::Live,
    queue::{Offer, Queue},
    trace::Traces,
};

/// The state that all workers of a process share.
pub(crate) struct Context {
    pub ledger: Arc<dyn Ledger>,
    pub generate: Arc<dyn Queue>,
    pub status: Arc<dyn Queue>,
    pub codes: CodeScheme,
    pub config: Arc<Config>,
    pub hooks: Hooks,
    /// Keeps what the host's code in transactions of the ledger reaches.
    pub host: Arc<dyn Any + Send + Sync>,
    pub estimator: Arc<Estimator>,
    pub code_parameters: CodeParametersCache,
    pub finished_jobs: FinishedJobs,
    pub summaries: Summaries,
    pub batch_log: BatchLog,
    /// What this process reports about itself.
    pub presence: Arc<Presence>,
    /// Number of delayed jobs in the queue, as last read by the feeder.
    pub delayed: AtomicU64,
    /// Wakes the feeder.
    pub wakeup: Arc<Wakeup>,
    /// Cancelled at the start of a shutdown.
    pub draining: CancellationToken,
    pub outage: Arc<Outage>,
    /// What this process changed goes to its watchers.
    pub live: Arc<Live>,
    /// Whether another process works on this ledger, and this one waits to take over.
    pub standby: Arc<AtomicBool>,
    /// Locked while batches that can't be planned are failed.
    pub refusing: Arc<Mutex<()>>,
    /// Notified when a batch finishes in this process.
    pub finished: Arc<Notify>,
    /// Notified when a call of a hook ends in this process.
    pub hook_ended: Arc<Notify>,
    pub traces: Traces,
}

/// The delay between two tries while the database is unavailable.
const DATABASE_BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };

impl Context {
    /// Repeats `verb` until the database answers. Returns `None` when the drain starts first.
    ///
    /// A call of `verb` that has started is always awaited to its end.
    pub async fn retry_until_drain<T, F>(&self, verb: impl Fn() -> F) -> Option<Result<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let mut wait = DatabaseWait::new(&self.outage);
        loop {
            if let Some(result) = wait.check(verb().await) {
                return Some(result);
            }
            self.draining.run_until_cancelled(tokio::time::sleep(wait.delay())).await?;
        }
    }

    /// Repeats `verb` until the database answers, also during a drain. The deadline of the drain
    /// then drops the future.
    pub async fn retry_forever<T, F>(&self, verb: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut wait = DatabaseWait::new(&self.outage);
        loop {
            if let Some(result) = wait.check(verb().await) {
                return result;
            }
            tokio::time::sleep(wait.delay()).await;
        }
    }

    /// Sleeps for `time`, or until the drain starts.
    pub async fn sleep_unless_draining(&self, time: Duration) {
        self.draining.run_until_cancelled(tokio::time::sleep(time)).await;
    }

    /// Schedules the follow-up work of a finished job. Best effort: the feeder finds the same work
    /// in the ledger.
    pub fn job_finished(&self, batch: BatchId) {
        self.summaries.changed(batch);
        self.finished_jobs.job_finished(batch);
        self.wakeup.job_left(self.hooks.has_job_hooks());
    }

    /// Schedules the follow-up work of a job that is delayed until its next attempt, which makes
    /// room for another job in the queue.
    pub fn job_delayed(&self, batch: BatchId) {
        self.summaries.changed(batch);
        self.wakeup.job_left(false);
    }

    /// Whether the queue has the maximum number of delayed jobs.
    pub fn is_full_of_delayed(&self) -> bool {
        self.delayed.load(Ordering::Relaxed) >= self.config.queued
    }

    /// Offers tasks to the status queue. Best effort.
    pub async fn offer_status(&self, tasks: Vec<StatusTask>) {
        let offer = |task| Offer { task: Task::Status(task), rank: 0, delay: Duration::ZERO, attempts_made: 0 };
        let offers: Vec<_> = tasks.into_iter().map(offer).collect();
        if !offers.is_empty()
            && let Err(error) = self.status.offer(&offers).await
        {
            tracing::warn!(%error, "could not add a status task; the feeder will");
        }
    }
}

/// Waits while the database is unavailable.
struct DatabaseWait<'a> {
    outage: &'a Outage,
    /// Marks the outage while it lasts.
    waiting: Option<Waiting<'a>>,
    /// Whether the database refused a write, rather than not responding.
    was_refused: bool,
    failures: u32,
}

impl<'a> DatabaseWait<'a> {
    const fn new(outage: &'a Outage) -> Self {
        Self { outage, waiting: None, was_refused: false, failures: 0 }
    }

    /// Returns the result of a call, or `None` when the database was unavailable.
    fn check<T>(&mut self, result: Result<T>) -> Option<Result<T>> {
        match result {
            Err(ref error @ LedgerError::Unavailable { operation, .. }) => {
                self.wait(operation, error);
                None
            }
            result => {
                match self.waiting {
                    Some(_) if self.was_refused => tracing::info!("the database accepts writes again"),
                    Some(_) => tracing::info!(tries = self.failures + 1, "the database responds again"),
                    None => {}
                }
                Some(result)
            }
        }
    }

    fn wait(&mut self, operation: &str, error: &LedgerError) {
        let refusal = error.write_refusal();
        if self.waiting.is_none() {
            let error = error_chain(error);
            if refusal.is_some() {
                tracing::error!(error, "the database refuses writes; work waits for it");
            } else {
                tracing::warn!(operation, error, "the database does not respond; work waits for it");
            }
        }
        let waiting = self.waiting.get_or_insert_with(|| self.outage.wait());
        if let Some(refusal) = refusal {
            waiting.refused(refusal);
            self.was_refused = true;
        }
        self.failures += 1;
    }

    /// Returns the delay before the next try.
    fn delay(&self) -> Duration {
        DATABASE_BACKOFF.jittered(self.failures, fastrand::f64())
    }
}
