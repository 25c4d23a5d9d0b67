//! One status task: close a batch, or tell the host of an end.
//!
//! Closing writes the row of the hook, in one transaction; telling is a task of its own, so that a host's slow or failing hook holds up
//! nothing else. Both are repeatable: closing twice is one compare-and-set too many, and a told hook has no row any more.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;

use super::{Context, points};
use crate::{
    domain::{Attempt, BatchId, BatchRecord, BatchStatus, HookId, StatusTask, Task},
    ledger::{Closed, Hook, LedgerError, Told},
    queue::{Answer, Handed, Handler, Notes},
};

/// The handler of the queue `update-batch-status`.
pub(crate) struct Status(pub Arc<Context>);

#[async_trait]
impl Handler for Status {
    async fn handle(&self, handed: Handed, _: &dyn Notes) -> Answer {
        let Handed::Offered { task, .. } = handed else { return Answer::Fail(format!("{handed} is no status task")) };
        match task {
            Task::Status(StatusTask::End { batch, round }) => self.end(batch, round).await,
            Task::Status(StatusTask::Hook { batch, hook }) => self.hook(batch, hook).await,
            Task::Generate { .. } => Answer::Fail(format!("{task} is no status task")),
        }
    }
}

impl Status {
    async fn end(&self, batch: BatchId, round: u32) -> Answer {
        match self.0.patiently(|| self.0.ledger.close(batch, round)).await {
            None => Answer::GiveBack,
            Some(Ok(Closed::Over)) => Answer::Done,
            Some(Ok(Closed::Now(batch))) => {
                say(&batch);
                self.0.ended.notify_waiters();
                points::reach(points::BEFORE_HOOK).await;
                if self.0.hooks.of_batches() {
                    self.0.bell.hook();
                }
                Answer::Done
            }
            Some(Err(error)) => broke(batch, &error),
        }
    }

    async fn hook(&self, batch: BatchId, id: HookId) -> Answer {
        match self.0.patiently(|| self.0.ledger.hook(id)).await {
            None => Answer::GiveBack,
            Some(Ok(None)) => Answer::Done,
            Some(Ok(Some(hook))) => self.tell(batch, id, hook).await,
            Some(Err(error)) => broke(batch, &error),
        }
    }

    async fn tell(&self, batch: BatchId, id: HookId, hook: Hook) -> Answer {
        let attempts = hook.attempts;
        let attempt = Attempt { made: attempts, most: self.0.config.status.attempts };
        let told = self.0.hooks.tell(hook.event, self.0.config.hook_timeout).await;
        let (how, answer) = match told {
            Ok(()) => (Told::Delivered, Answer::Done),
            Err(error) if attempt.is_last() => {
                tracing::error!(%batch, error, attempts = attempt.most, "a hook was given up");
                (Told::GivenUp { error: error.clone() }, Answer::Fail(error))
            }
            Err(error) => {
                tracing::warn!(%batch, error, attempt = attempt.number(), "a hook failed; it is called again");
                let backoff = self.0.config.status.backoff().jittered(attempt.number(), fastrand::f64());
                (Told::Again { error: error.clone(), not_before: Utc::now() + backoff }, Answer::Retry(error))
            }
        };
        match self.0.stubbornly(|| self.0.ledger.settle_hook(id, attempts, how.clone())).await {
            Ok(()) => answer,
            Err(error) => broke(batch, &error),
        }
    }
}

fn say(batch: &BatchRecord) {
    let (id, items, quantity) = (batch.batch_id, batch.items_created, batch.quantity);
    match batch.status {
        BatchStatus::Failed => tracing::error!(
            batch = %id, items, quantity, failed = batch.jobs.failed, error = batch.error,
            "Batch {id} failed",
        ),
        _ => tracing::info!(batch = %id, items, quantity, "Batch {id} completed"),
    }
}

fn broke(batch: BatchId, error: &LedgerError) -> Answer {
    tracing::error!(%batch, error = error as &dyn std::error::Error, "the status of a batch could not be followed up");
    Answer::Retry(error.to_string())
}
