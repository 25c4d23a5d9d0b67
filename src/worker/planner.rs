//! Plans batches that were created by SQL, without a plan, and fails those that can't be planned.

use std::sync::Arc;

use super::context::Context;
use crate::{
    domain::{BatchId, InvalidFields, Plan},
    ledger::{HookRetry, LedgerError, PlanInput, Planned, Unplanned},
};

/// Plans batches and wakes the feeder for their jobs. The feeder finds a batch again that could not
/// be written.
pub(super) async fn plan_batches(cx: &Arc<Context>, batches: Vec<Unplanned>) {
    let (mut any_planned, mut refused) = (false, Vec::new());
    for batch in batches {
        match Plan::new(batch.quantity, &batch.options, &cx.config.limits()) {
            Err(invalid) => refused.push((batch, invalid)),
            Ok(plan) => match plan_batch(cx, &batch, plan).await {
                None => return,
                Some(Ok(())) => any_planned = true,
                Some(Err(error)) => log_failure(batch.batch, &error),
            },
        }
    }
    if any_planned {
        cx.wakeup.wake();
    }
    refuse_in_background(cx, refused);
}

/// Plans one batch. Returns `None` when the drain started.
async fn plan_batch(cx: &Context, batch: &Unplanned, plan: Plan) -> Option<Result<(), LedgerError>> {
    let throughput = cx.config.generate.throughput();
    let estimated = match cx.retry_until_drain(|| cx.estimator.estimate(&plan, &throughput)).await? {
        Ok(estimated) => estimated,
        Err(error) => return Some(Err(error)),
    };
    let (id, quantity, jobs) = (batch.batch, batch.quantity, plan.jobs());
    let input = PlanInput { plan, key_fingerprint: cx.codes.fingerprint().to_owned(), estimated };
    let planned = cx.retry_until_drain(|| cx.ledger.plan(id, Ok(input.clone()))).await?;
    if matches!(planned, Ok(Planned::Now)) {
        tracing::info!(batch = %id, quantity, jobs, "Planned batch {id} of {quantity} items in {jobs} jobs");
    }
    Some(planned.map(drop))
}

/// Fails batches that can't be planned. In the background, because the host's finish hook may take
/// long and the feeder must not wait for it. While that goes on, the feeder finds further ones
/// again later.
fn refuse_in_background(cx: &Arc<Context>, refused: Vec<(Unplanned, InvalidFields)>) {
    if refused.is_empty() {
        return;
    }
    let Ok(turn) = cx.refusing.clone().try_lock_owned() else { return };
    let cx = cx.clone();
    tokio::spawn(async move {
        let _turn = turn;
        for (batch, invalid) in refused {
            let refusing = cx.retry_until_drain(|| cx.ledger.plan(batch.batch, Err(invalid.clone()))).await;
            let Some(refused) = refusing else { return };
            follow_up(&cx, &batch, refused, &invalid);
        }
    });
}

fn follow_up(cx: &Context, batch: &Unplanned, refused: Result<Planned, LedgerError>, invalid: &InvalidFields) {
    let (id, quantity) = (batch.batch, batch.quantity);
    match refused {
        Ok(Planned::NothingToDo) => {}
        Ok(Planned::Now) => {
            tracing::error!(batch = %id, quantity, error = %invalid, "Batch {id} could not be planned and failed");
            cx.finished.notify_waiters();
            if cx.hooks.has_batch_hook() {
                cx.wakeup.hook();
            }
        }
        Ok(Planned::HookFailed(HookRetry { error, tries, delay })) => {
            tracing::warn!(batch = %id, error, tries, ?delay, "finish hook failed; the batch waits for its next call");
        }
        Err(error) => log_failure(id, &error),
    }
}

fn log_failure(batch: BatchId, error: &LedgerError) {
    let error = error as &dyn std::error::Error;
    tracing::error!(%batch, error, "batch could not be planned; it will be tried again");
}
