//! One attempt at a job: inserts the missing items chunk by chunk, then records the result.
//!
//! ```text
//!   missing ordinals ──▶ chunk ──▶ chunk ──▶ … ──▶ verdict ──▶ finish_attempt ──▶ disposition
//!                          │
//!                          └─ rejected by the database: retried with backoff, then recorded as
//!                             failed; the next chunk is inserted anyway
//! ```
//!
//! Every insert carries the claim, so an attempt whose job was claimed again inserts nothing.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::Span;

use super::{
    chunk::{ChunkResult, ChunkWriter, chunks},
    context::Context,
    failpoints,
    report::{ProgressReporter, failure_update, log_batch_progress, log_result, log_start},
};
use crate::{
    domain::{Attempt, FailedChunks, Failure, Outcome, Verdict, error_chain, panic_message, verdict},
    ledger::{AttemptResult, Finished, Work},
    queue::{Disposition, ProgressSink},
    trace::record_error,
};

/// One attempt at one job.
pub(super) struct AttemptRun<'a> {
    pub cx: &'a Arc<Context>,
    pub work: Work,
    pub attempt: Attempt,
    /// Receives what queue tools show.
    pub progress: &'a dyn ProgressSink,
    pub started: Instant,
}

/// The end of the generation.
enum Generated {
    /// All items exist, and the job was recorded as completed.
    JobCompleted,
    /// The outcome, which is still to be recorded.
    Outcome(Outcome),
}

impl AttemptRun<'_> {
    pub async fn run(self) -> Disposition {
        log_start(&self.work);
        let generated = AssertUnwindSafe(self.generate()).catch_unwind().await;
        let generated =
            generated.unwrap_or_else(|panic| Generated::Outcome(Outcome::Panicked(panic_message(&*panic).to_owned())));
        let disposition = match generated {
            Generated::JobCompleted => self.follow_up(&AttemptResult::Completed, Disposition::Ack),
            Generated::Outcome(outcome) => {
                if let Some(cause) = outcome.error_type() {
                    record_error(&Span::current(), cause);
                }
                failpoints::reach(failpoints::BEFORE_FINISH).await;
                self.finish(verdict(outcome, self.attempt)).await
            }
        };
        failpoints::reach(failpoints::BEFORE_ACKNOWLEDGE).await;
        disposition
    }

    async fn generate(&self) -> Generated {
        if let Some(outcome) = self.check_code_key() {
            return Generated::Outcome(outcome);
        }
        let mut reporter = ProgressReporter::new(&self.work);
        if self.work.inserted > 0 {
            self.report(self.work.inserted, &mut reporter);
        }
        self.insert_missing(&mut reporter).await
    }

    /// Returns an outcome if the batch was created with another code key.
    fn check_code_key(&self) -> Option<Outcome> {
        let (of_batch, of_process) = (&self.work.key_fingerprint, self.cx.codes.fingerprint());
        (of_batch != of_process).then(|| {
            Outcome::Misconfigured(format!(
                "the batch was created with the code key {of_batch} (fingerprint), but this process has {of_process}; \
                 configure the earlier `code_key`, then retry the batch"
            ))
        })
    }

    async fn insert_missing(&self, reporter: &mut ProgressReporter) -> Generated {
        let Work { claim, prefix, missing, .. } = &self.work;
        let writer = ChunkWriter { cx: self.cx, claim, prefix: prefix.as_deref(), started: self.started };
        let mut failed = FailedChunks::default();
        let mut chunks = chunks(missing, self.cx.config.chunk_size).peekable();
        while let Some(ordinals) = chunks.next() {
            let items = ordinals.end - ordinals.start;
            let is_last = chunks.peek().is_none() && failed.is_empty();
            match writer.write(ordinals, is_last).await {
                ChunkResult::Inserted => self.report(items, reporter),
                ChunkResult::Failed(chunk) => failed.push(chunk),
                ChunkResult::Stopped(outcome) => return Generated::Outcome(outcome),
                ChunkResult::JobCompleted => {
                    self.report(items, reporter);
                    return Generated::JobCompleted;
                }
            }
        }
        Generated::Outcome(if failed.is_empty() { Outcome::AllInserted } else { Outcome::ChunksFailed(failed) })
    }

    fn report(&self, items: u64, reporter: &mut ProgressReporter) {
        self.cx.summaries.inserted(self.work.claim.job.batch, items);
        log_batch_progress(self.cx, &self.work);
        reporter.inserted(items, &self.work).into_iter().for_each(|update| self.progress.report(update));
    }

    /// Records the verdict in the ledger, and returns the disposition of the task.
    async fn finish(&self, verdict: Verdict) -> Disposition {
        let Some((result, disposition)) = self.result_of(verdict) else { return Disposition::Ack };
        let worked = self.started.elapsed();
        let finish_attempt = || self.cx.ledger.finish_attempt(&self.work.claim, result.clone(), worked);
        match self.cx.retry_forever(finish_attempt).await {
            Ok(Finished::Fenced) => Disposition::Ack,
            Ok(Finished::Recorded) => self.follow_up(&result, disposition),
            Err(error) => {
                let job = self.work.claim.job;
                let error = error_chain(&error);
                tracing::error!(batch = %job.batch, %job, error, "job result could not be recorded");
                Disposition::Retry(error)
            }
        }
    }

    /// Reports and logs a recorded result, and wakes what depends on it: the close of the batch,
    /// the feeder, the summaries.
    fn follow_up(&self, result: &AttemptResult, disposition: Disposition) -> Disposition {
        if let AttemptResult::Delayed { failure, .. } | AttemptResult::Failed(failure) = result {
            self.progress.report(failure_update(self.attempt, failure));
        }
        log_result(&self.work, self.attempt, result);
        let batch = self.work.claim.job.batch;
        match result {
            AttemptResult::Completed | AttemptResult::Failed(_) => self.cx.job_finished(batch),
            AttemptResult::Delayed { .. } => self.cx.job_delayed(batch),
            AttemptResult::Released => self.cx.summaries.changed(batch),
        }
        disposition
    }

    /// Returns what to record in the ledger, and the disposition of the task. `None` if there is
    /// nothing to record: the job was cancelled, finished, or claimed by another worker.
    fn result_of(&self, verdict: Verdict) -> Option<(AttemptResult, Disposition)> {
        Some(match verdict {
            Verdict::Completed => (AttemptResult::Completed, Disposition::Ack),
            Verdict::RetryLater(failure) => self.retry_later(failure),
            Verdict::Failed(failure) => {
                let reason = failure.reason.clone();
                (AttemptResult::Failed(failure), Disposition::Fail(reason))
            }
            Verdict::Released => (AttemptResult::Released, Disposition::Release),
            Verdict::ReleasedUntilResumed => (AttemptResult::Released, Disposition::Discard),
            Verdict::Superseded => return None,
        })
    }

    fn retry_later(&self, failure: Failure) -> (AttemptResult, Disposition) {
        // When the queue has the maximum number of delayed jobs, only the ledger keeps this one.
        // The feeder offers it again when it is due.
        let disposition = if self.cx.is_full_of_delayed() {
            Disposition::Discard
        } else {
            Disposition::Retry(failure.reason.clone())
        };
        (AttemptResult::Delayed { failure, delay: self.backoff() }, disposition)
    }

    fn backoff(&self) -> Duration {
        self.cx.config.generate.backoff().jittered(self.attempt.number(), fastrand::f64())
    }
}
