//! The handler of status tasks: closes a batch, calls a hook, or checks items.
//!
//! Closing a batch calls the host's finish hook in the same transaction. If that fails, the batch
//! stays open, and the task is offered again later.
//!
//! Closing a batch also stores the event of its other hook in the same transaction. The call is a
//! task of its own, so that a slow or failing hook delays nothing else. Both tasks may run twice:
//! closing again changes nothing, and a delivered event is deleted.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use tracing::Instrument as _;

use super::{context::Context, failpoints, reconcile::reconcile};
use crate::{
    domain::{Attempt, BatchId, BatchRecord, BatchStatus, Delivery, HookId, StatusTask, Task, error_chain},
    ledger::{Closed, Hook, HookOutcome, HookRetry, LedgerError},
    queue::{Disposition, Handler, ProgressSink},
    telemetry::events,
    trace::record_error,
};

/// The handler of the queue `update-batch-status`.
pub(crate) struct Status(pub Arc<Context>);

#[async_trait]
impl Handler for Status {
    async fn handle(&self, delivery: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        self.0.presence.fetched();
        let Delivery::Enqueued { task, .. } = delivery else {
            return Disposition::Fail(format!("{delivery} is not a status task"));
        };
        match task {
            Task::Status(StatusTask::Close { batch, round }) => self.close(batch, round).await,
            Task::Status(StatusTask::Hook { batch, hook }) => self.hook(batch, hook).await,
            Task::Status(StatusTask::Reconcile { batch, codes, run }) => reconcile(&self.0, batch, codes, run).await,
            Task::Generate { .. } => Disposition::Fail(format!("{task} is not a status task")),
        }
    }
}

impl Status {
    async fn close(&self, batch: BatchId, round: u32) -> Disposition {
        match self.0.retry_until_drain(|| self.0.ledger.close(batch, round)).await {
            None => Disposition::Release,
            Some(Ok(Closed::NothingToDo)) => Disposition::Ack,
            Some(Ok(Closed::Now(batch))) => self.closed(&batch).await,
            Some(Ok(Closed::HookFailed(retry))) => self.close_later(batch, &retry),
            Some(Err(error)) => failed(batch, &error),
        }
    }

    async fn closed(&self, batch: &BatchRecord) -> Disposition {
        log_outcome(batch);
        self.0.batch_log.finished(batch.batch_id);
        self.0.summaries.finished(batch.batch_id);
        self.0.finished.notify_waiters();
        self.0.live.changed(batch);
        failpoints::reach(failpoints::BEFORE_HOOK).await;
        if self.0.hooks.has_batch_hook() {
            self.0.wakeup.hook();
        }
        Disposition::Ack
    }

    /// The task leaves the queue, so that it takes no place while it waits. A check offers it
    /// again. If this process dies before, the feeder does.
    fn close_later(&self, batch: BatchId, retry: &HookRetry) -> Disposition {
        let HookRetry { error, tries, delay } = retry;
        tracing::warn!(%batch, error, tries, ?delay, "finish hook failed; the batch waits for its next call");
        self.0.finished_jobs.check_after(*delay, batch);
        Disposition::Ack
    }

    async fn hook(&self, batch: BatchId, id: HookId) -> Disposition {
        match self.0.retry_until_drain(|| self.0.ledger.hook(id)).await {
            None => Disposition::Release,
            Some(Ok(None)) => Disposition::Ack,
            Some(Ok(Some(hook))) => self.call_hook(batch, id, hook).await,
            Some(Err(error)) => failed(batch, &error),
        }
    }

    async fn call_hook(&self, batch: BatchId, id: HookId, hook: Hook) -> Disposition {
        let (failed_before, kind) = (hook.attempts, hook.event.kind());
        let attempt = Attempt { failed: failed_before, max: self.0.config.status.attempts };
        let span = self.0.traces.hook(self.0.status.name(), hook.event.kind(), id.0, hook.trace.as_ref());
        let called = self.0.hooks.call(hook.event, self.0.config.hook_timeout).instrument(span.clone()).await;
        if called.is_err() {
            record_error(&span, "hook_failed");
        }
        let (outcome, disposition) = match called {
            Ok(()) => (HookOutcome::Delivered, Disposition::Ack),
            Err(error) => self.hook_failed(batch, attempt, error),
        };
        let record = || self.0.ledger.record_hook_outcome(id, failed_before, outcome.clone());
        match self.0.retry_forever(record).await {
            Ok(()) => {
                events::hook_called(kind, outcome.as_str());
                self.0.hook_ended.notify_waiters();
                disposition
            }
            Err(error) => failed(batch, &error),
        }
    }

    fn hook_failed(&self, batch: BatchId, attempt: Attempt, error: String) -> (HookOutcome, Disposition) {
        let number = attempt.number();
        if attempt.is_last() {
            tracing::error!(%batch, error, attempts = attempt.max, "hook failed; it will not be called again");
            return (HookOutcome::GivenUp { error: error.clone() }, Disposition::Fail(error));
        }
        tracing::warn!(%batch, error, attempt = number, "hook failed; it will be called again");
        let not_before = Utc::now() + self.0.config.status.backoff().jittered(number, fastrand::f64());
        (HookOutcome::RetryLater { error: error.clone(), not_before }, Disposition::Retry(error))
    }
}

fn log_outcome(batch: &BatchRecord) {
    let (id, items, quantity) = (batch.batch_id, batch.items_created, batch.quantity);
    if batch.status == BatchStatus::Failed {
        tracing::error!(
            batch = %id, items, quantity, failed = batch.jobs.failed, error = batch.error,
            "Batch {id} failed",
        );
    } else {
        tracing::info!(batch = %id, items, quantity, "Batch {id} completed");
    }
}

fn failed(batch: BatchId, error: &LedgerError) -> Disposition {
    let chain = error_chain(error);
    tracing::error!(%batch, error = chain, "status task failed; it will be tried again");
    Disposition::Retry(error.to_string())
}
