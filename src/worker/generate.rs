//! The handler of jobs: claims a job and runs one attempt at it.
//!
//! ```text
//!   delivery ──▶ claim ──▶ AttemptRun ──▶ disposition
//! ```
//!
//! In the usual case the first chunk is inserted in the transaction of the claim, and the last
//! chunk in the transaction that completes the job. A job of two chunks is then two transactions.
//! The ledger reports when this is not possible, and each step is then a transaction of its own.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{attempt::AttemptRun, chunk::items, code_parameters::CodeParameters, context::Context, failpoints};
use crate::{
    domain::{Attempt, Delivery, Failure, Task, error_chain},
    ledger::{Claimed, FirstChunk, LedgerError, Work},
    queue::{Disposition, Handler, ProgressSink},
};

/// The handler of the queue `generate-product-batch-items`.
pub(crate) struct Generate(pub Arc<Context>);

#[async_trait]
impl Handler for Generate {
    async fn handle(&self, delivery: Delivery<Task>, progress: &dyn ProgressSink) -> Disposition {
        let _active = self.0.presence.start_job();
        let (delivery, range) = match delivery {
            Delivery::Enqueued { task: Task::Generate { job, first, quantity }, acknowledged } => {
                (Delivery::Enqueued { task: job, acknowledged }, first..first.saturating_add(quantity))
            }
            Delivery::External { batch, seq } => (Delivery::External { batch, seq }, 0..0),
            Delivery::Enqueued { task: Task::Status(_), .. } => {
                return Disposition::Fail(format!("{delivery} is not a job"));
            }
        };
        match self.claim(delivery, range).await {
            None => Disposition::Release,
            Some(Ok(claimed)) => self.work_on(delivery, claimed, progress).await,
            Some(Err(error)) => could_not_claim(delivery, &error),
        }
    }
}

impl Generate {
    async fn work_on(&self, delivery: Delivery, claimed: Claimed, progress: &dyn ProgressSink) -> Disposition {
        match claimed {
            Claimed::Work(work) => self.attempt(work, progress).await,
            Claimed::NothingToDo => {
                // The process that finished the job may have died before it checked whether the job
                // was the last one of its batch.
                self.0.finished_jobs.job_finished(delivery.batch_and_seq().0);
                Disposition::Ack
            }
            Claimed::Busy => Disposition::Ack,
            Claimed::Failed(reason) => Disposition::Fail(reason),
            Claimed::Paused => paused(delivery),
            Claimed::Unknown => unknown(delivery),
            Claimed::Poisoned(failure) => self.poisoned(delivery, failure),
        }
    }

    /// Claims the job. Inserts its first chunk in the same transaction when the parameters of its
    /// codes are cached. Returns `None` when the drain started.
    async fn claim(&self, delivery: Delivery, range: Range<u64>) -> Option<Result<Claimed, LedgerError>> {
        if let Some(parameters) = self.0.code_parameters.get(delivery.batch_and_seq().0)
            && parameters.key_fingerprint == self.0.codes.fingerprint()
        {
            match AssertUnwindSafe(self.claim_and_insert(delivery, &range, &parameters)).catch_unwind().await {
                // A rejected chunk is tried again on its own, as many times as configured. A panic
                // is ignored here, because no claim exists on which it could be recorded. The code
                // that panicked runs again in the attempt below, which records it.
                Err(_) | Ok(Some(Err(LedgerError::Rejected { .. }))) => {}
                Ok(claimed) => return claimed,
            }
        }
        self.0.retry_until_drain(|| self.0.ledger.claim(delivery)).await
    }

    async fn claim_and_insert(
        &self,
        delivery: Delivery,
        range: &Range<u64>,
        parameters: &CodeParameters,
    ) -> Option<Result<Claimed, LedgerError>> {
        let chunk = range.start..range.end.min(range.start.saturating_add(self.0.config.chunk_size));
        let items = items(&self.0, delivery.batch_and_seq().0, parameters.prefix.as_deref(), chunk);
        let CodeParameters { prefix, key_fingerprint } = parameters.clone();
        let first_chunk = FirstChunk { range: range.clone(), prefix, key_fingerprint, items };
        failpoints::reach(failpoints::BEFORE_INSERT).await;
        let claimed =
            self.0.retry_until_drain(|| self.0.ledger.claim_and_insert(delivery, first_chunk.clone())).await?;
        failpoints::reach(failpoints::AFTER_FIRST_CHUNK).await;
        Some(claimed)
    }

    async fn attempt(&self, work: Work, progress: &dyn ProgressSink) -> Disposition {
        let job = work.claim.job;
        self.0.code_parameters.insert(job.batch, CodeParameters::of(&work));
        self.0.summaries.changed(job.batch);
        let attempt = Attempt { failed: work.attempts_made, max: self.0.config.generate.attempts };
        let span = self.0.traces.attempt(self.0.generate.name(), job, attempt, work.trace.as_ref());
        let run = AttemptRun { cx: &self.0, work, attempt, progress, started: Instant::now() };
        run.run().instrument(span).await
    }

    /// Fails a job during which workers crashed too often.
    fn poisoned(&self, delivery: Delivery, failure: Failure) -> Disposition {
        let (batch, _) = delivery.batch_and_seq();
        tracing::error!(%batch, job = %delivery, error = failure.reason, "Job {delivery} failed for batch {batch}");
        self.0.job_finished(batch);
        Disposition::Fail(failure.reason)
    }
}

/// The feeder offers its own jobs again when the batch is resumed. An external task can't be
/// offered again, so it fails.
fn paused(delivery: Delivery) -> Disposition {
    match delivery {
        Delivery::External { batch, .. } => Disposition::Fail(format!(
            "batch {batch} is paused; this task was not run. Add it again after the batch is resumed"
        )),
        Delivery::Enqueued { .. } => Disposition::Discard,
    }
}

/// Fails a task whose job is not in the ledger: the ledger was restored from a backup, or another
/// program added the task.
fn unknown(delivery: Delivery) -> Disposition {
    let reason = match delivery {
        Delivery::External { batch, seq } => format!("the ledger has no batch {batch} with a job {seq}"),
        Delivery::Enqueued { task: job, .. } => format!("the ledger has no job {job}"),
    };
    tracing::warn!(error = reason, "a job that is not in the ledger failed in the queue");
    Disposition::Fail(reason)
}

fn could_not_claim(delivery: Delivery, error: &LedgerError) -> Disposition {
    let ((batch, _), error) = (delivery.batch_and_seq(), error_chain(error));
    tracing::error!(%batch, job = %delivery, error, "job could not be claimed");
    Disposition::Retry(error)
}
