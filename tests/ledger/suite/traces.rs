//! A batch keeps where the request that created it stands in a distributed trace.

use std::time::Duration;

use rocket_batch::{
    domain::{Caller, Delivery, TraceParent},
    ledger::{AttemptResult, Claimed},
};

use crate::subject::*;

pub async fn every_attempt_and_hook_has_the_position_of_the_request(harness: impl Harness) -> TestResult {
    let ledger = harness.ledger().await;
    let position: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
    let caller = Caller::default().in_trace(Some(position.clone()));
    let jobs = ledger.jobs_of(a_batch().of(300).asked_for_by(caller)).await?;
    let again = |job| Delivery::Enqueued { task: job, acknowledged: 1 };

    let first = ledger.work(jobs[0]).await?;
    let Claimed::Work(with_chunk) = ledger.claim_and_insert(jobs[1].into(), first_chunk(100..200, 100..150)).await?
    else {
        return Err("not claimed".into());
    };
    let later = delayed(because("no ink"), Duration::ZERO);
    ledger.finish_attempt(&first.claim, later, WORKED).await?;
    let second = ledger.work(again(jobs[0])).await?;
    ledger.finish_attempt(&second.claim, AttemptResult::Failed(because("no ink")), WORKED).await?;
    let hook = ledger.hooks_of(jobs[0].batch).await?[0];

    for trace in [first.trace, with_chunk.trace, second.trace, ledger.hook(hook).await?.and_then(|hook| hook.trace)] {
        assert_eq!(trace.as_ref(), Some(&position));
    }
    Ok(())
}
