//! Plans batches that were created by SQL, without a plan.

use super::context::Context;
use crate::{
    domain::{Invalid, Plan},
    ledger::{LedgerError, PlanInput, Planned, Unplanned},
};

/// Plans batches and wakes the feeder for their jobs. The feeder finds a batch again that could not
/// be written.
pub(super) async fn plan_batches(cx: &Context, batches: Vec<Unplanned>) {
    let mut any_planned = false;
    for batch in batches {
        match plan_batch(cx, &batch).await {
            None => return,
            Some(Ok(())) => any_planned = true,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(batch = %batch.batch, error, "batch could not be planned; it will be tried again");
            }
        }
    }
    if any_planned {
        cx.wakeup.wake();
    }
}

/// Plans one batch. Returns `None` when the drain started.
async fn plan_batch(cx: &Context, batch: &Unplanned) -> Option<Result<(), LedgerError>> {
    let input = match plan_input(cx, batch).await? {
        Ok(input) => input,
        Err(error) => return Some(Err(error)),
    };
    let planned = cx.retry_until_drain(|| cx.ledger.plan(batch.batch, input.clone())).await?;
    Some(planned.map(|planned| follow_up(cx, batch, planned, &input)))
}

/// Computes the plan of a batch, or why it can't be planned. Returns `None` when the drain started.
async fn plan_input(cx: &Context, batch: &Unplanned) -> Option<Result<Result<PlanInput, Invalid>, LedgerError>> {
    let plan = match Plan::new(batch.quantity, &batch.options, &cx.config.limits()) {
        Ok(plan) => plan,
        Err(invalid) => return Some(Ok(Err(invalid))),
    };
    let throughput = cx.config.generate.throughput();
    let estimated = cx.retry_until_drain(|| cx.estimator.estimate(&plan, &throughput)).await?;
    let key_fingerprint = cx.codes.fingerprint().to_owned();
    Some(estimated.map(|estimated| Ok(PlanInput { plan, key_fingerprint, estimated })))
}

fn follow_up(cx: &Context, batch: &Unplanned, planned: Planned, input: &Result<PlanInput, Invalid>) {
    let (id, quantity) = (batch.batch, batch.quantity);
    match (planned, input) {
        (Planned::NothingToDo, _) => {}
        (Planned::Now, Ok(input)) => {
            let jobs = input.plan.jobs();
            tracing::info!(batch = %id, quantity, jobs, "Planned batch {id} of {quantity} items in {jobs} jobs");
        }
        (Planned::Now, Err(invalid)) => {
            tracing::error!(batch = %id, quantity, error = %invalid, "Batch {id} could not be planned and failed");
            cx.finished.notify_waiters();
        }
    }
}
