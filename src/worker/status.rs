//! One status task: close a batch, or tell the host of an end.
//!
//! Closing writes the row of the hook, in one transaction; telling is a task of its own, so that a
//! host's slow or failing hook holds up nothing else. Both are repeatable: closing twice is one
//! compare-and-set too many, and a told hook has no row any more.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;

use super::{Context, failpoints};
use crate::{
    domain::{Attempt, BatchId, BatchRecord, BatchStatus, Delivery, HookId, StatusTask, Task},
    ledger::{Closed, Hook, HookOutcome, LedgerError},
    queue::{Disposition, Handler, ProgressSink},
};

/// The handler of the queue `update-batch-status`.
pub(crate) struct Status(pub Arc<Context>);

#[async_trait]
impl Handler for Status {
    async fn handle(&self, delivery: Delivery<Task>, _: &dyn ProgressSink) -> Disposition {
        let Delivery::Enqueued { task, .. } = delivery else {
            return Disposition::Fail(format!("{delivery} is no status task"));
        };
        match task {
            Task::Status(StatusTask::End { batch, round }) => self.end(batch, round).await,
            Task::Status(StatusTask::Hook { batch, hook }) => self.hook(batch, hook).await,
            Task::Generate { .. } => Disposition::Fail(format!("{task} is no status task")),
        }
    }
}

impl Status {
    async fn end(&self, batch: BatchId, round: u32) -> Disposition {
        match self.0.retry_until_drain(|| self.0.ledger.close(batch, round)).await {
            None => Disposition::Release,
            Some(Ok(Closed::NothingToDo)) => Disposition::Ack,
            Some(Ok(Closed::Now(batch))) => {
                log_outcome(&batch);
                self.0.ended.notify_waiters();
                failpoints::reach(failpoints::BEFORE_HOOK).await;
                if self.0.hooks.of_batches() {
                    self.0.wakeup.hook();
                }
                Disposition::Ack
            }
            Some(Err(error)) => broke(batch, &error),
        }
    }

    async fn hook(&self, batch: BatchId, id: HookId) -> Disposition {
        match self.0.retry_until_drain(|| self.0.ledger.hook(id)).await {
            None => Disposition::Release,
            Some(Ok(None)) => Disposition::Ack,
            Some(Ok(Some(hook))) => self.tell(batch, id, hook).await,
            Some(Err(error)) => broke(batch, &error),
        }
    }

    async fn tell(&self, batch: BatchId, id: HookId, hook: Hook) -> Disposition {
        let attempts = hook.attempts;
        let attempt = Attempt { made: attempts, max: self.0.config.status.attempts };
        let told = self.0.hooks.tell(hook.event, self.0.config.hook_timeout).await;
        let (how, answer) = match told {
            Ok(()) => (HookOutcome::Delivered, Disposition::Ack),
            Err(error) if attempt.is_last() => {
                tracing::error!(%batch, error, attempts = attempt.max, "a hook was given up");
                (HookOutcome::GivenUp { error: error.clone() }, Disposition::Fail(error))
            }
            Err(error) => {
                tracing::warn!(%batch, error, attempt = attempt.number(), "a hook failed; it is called again");
                let backoff = self.0.config.status.backoff().jittered(attempt.number(), fastrand::f64());
                (
                    HookOutcome::RetryLater { error: error.clone(), not_before: Utc::now() + backoff },
                    Disposition::Retry(error),
                )
            }
        };
        match self.0.retry_forever(|| self.0.ledger.record_hook_outcome(id, attempts, how.clone())).await {
            Ok(()) => answer,
            Err(error) => broke(batch, &error),
        }
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
        tracing::info!(batch = %id, items, quantity, "Batch {id} completed")
    }
}

fn broke(batch: BatchId, error: &LedgerError) -> Disposition {
    tracing::error!(%batch, error = error as &dyn std::error::Error, "the status of a batch could not be followed up");
    Disposition::Retry(error.to_string())
}
