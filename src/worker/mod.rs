//! Runs jobs: what happens between the queue's hand-out and the ledger's answer.
//!
//! ```text
//!   feeder.rs    ledger ──▶ queue        what is open in the ledger and absent from the queue; what is unplanned it plans
//!   generate.rs  queue  ──▶ items        begin, missing ordinals chunk by chunk, settle
//!   ends.rs      ledger ──▶ queue        batches whose last job ended here
//!   status.rs    queue  ──▶ batch, host  close a batch, call a hook
//!   summaries.rs ledger ──▶ lists        the counts of open batches
//!   cleaner.rs   ledger ──▶ nobody       the history of batches that have been over for long
//!   runtime.rs   start, stand by, drain
//! ```
//!
//! The ledger decides, the queue obeys: what becomes of a job is settled in the ledger before the
//! queue is told. While the database is away everything waits in place and no attempt is spent.

mod cleaner;
mod ends;
mod failpoints;
mod feeder;
mod generate;
mod hooks;
mod recipes;
mod runtime;
mod status;
mod summaries;
mod wakeup;

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    domain::{Backoff, BatchId, CodeScheme, StatusTask, Task},
    ledger::{Estimator, Ledger, LedgerError, Outage, Result},
    queue::{Offer, Queue},
};

pub(crate) use self::{
    ends::Ends,
    hooks::{Hooks, callback},
    recipes::Recipes,
    runtime::Runtime,
    summaries::Summaries,
    wakeup::Wakeup,
};

/// What all workers of a process share.
pub(crate) struct Context {
    pub ledger: Arc<dyn Ledger>,
    pub generate: Arc<dyn Queue>,
    pub status: Arc<dyn Queue>,
    pub codes: CodeScheme,
    pub config: Arc<Config>,
    pub hooks: Hooks,
    pub estimator: Arc<Estimator>,
    pub recipes: Recipes,
    pub ends: Ends,
    pub summaries: Summaries,
    /// Delayed jobs in the queue, as the feeder saw it last.
    pub delayed: AtomicU64,
    /// Wakes the feeder.
    pub wakeup: Arc<Wakeup>,
    /// Cancelled from the first moment of a shutdown.
    pub draining: CancellationToken,
    pub outage: Arc<Outage>,
    /// Rings whenever a batch ends here.
    pub ended: Arc<Notify>,
}

/// How long to wait for the database between two tries.
const PATIENCE: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(2) };

impl Context {
    /// Repeats `verb` until the database answers; `None` when the drain begins before it does.
    ///
    /// A verb that was begun is always awaited to its end.
    async fn retry_until_drain<T, F>(&self, verb: impl Fn() -> F) -> Option<Result<T>>
    where
        F: Future<Output = Result<T>>,
    {
        self.until(&self.draining, verb).await
    }

    /// Repeats `verb` until the database answers, also through a drain, whose deadline then ends
    /// it.
    async fn retry_forever<T, F>(&self, verb: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let never = CancellationToken::new();
        self.until(&never, verb).await.expect("a token that nobody else has is never cancelled")
    }

    async fn until<T, F>(&self, end: &CancellationToken, verb: impl Fn() -> F) -> Option<Result<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let mut waiting = None;
        for tries in 1.. {
            match verb().await {
                Err(LedgerError::Unavailable { operation, source }) => {
                    let first = waiting.is_none();
                    waiting.get_or_insert_with(|| self.outage.wait());
                    if first {
                        tracing::warn!(operation, cause = %source, "the database does not answer; work waits for it");
                    }
                }
                answer => {
                    if waiting.is_some() {
                        tracing::info!(tries, "the database answers again");
                    }
                    return Some(answer);
                }
            }
            let pause = PATIENCE.jittered(tries, fastrand::f64());
            end.run_until_cancelled(tokio::time::sleep(pause)).await?;
        }
        None
    }
}

impl Context {
    /// Sleeps, but not through a drain.
    async fn sleep_unless_draining(&self, time: Duration) {
        self.draining.run_until_cancelled(tokio::time::sleep(time)).await;
    }

    /// Sees to it that what a job leaves to do that ended is done soon. Best effort: the feeder
    /// finds it in the ledger anyway.
    fn job_ended(&self, batch: BatchId) {
        self.summaries.changed(batch);
        self.ends.job_ended(batch);
        self.wakeup.ended(self.hooks.of_jobs());
    }

    /// It waits for its next attempt, and leaves its place in the queue to another one meanwhile.
    fn job_delayed(&self, batch: BatchId) {
        self.summaries.changed(batch);
        self.wakeup.ended(false);
    }

    /// Whether as many jobs wait in the queue for their next attempt as may.
    fn is_full_of_delayed(&self) -> bool {
        self.delayed.load(Ordering::Relaxed) >= self.config.queued
    }

    async fn offer_status(&self, tasks: Vec<StatusTask>) {
        let offer = |task| Offer { task: Task::Status(task), rank: 0, delay: Duration::ZERO, attempts_made: 0 };
        let offers: Vec<_> = tasks.into_iter().map(offer).collect();
        if !offers.is_empty()
            && let Err(error) = self.status.offer(&offers).await
        {
            tracing::warn!(%error, "could not add a status task; the feeder will");
        }
    }
}

/// What a panic said.
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast::<String>().ok().map(|text| *text)).unwrap_or_else(|| "without a message".into())
}
