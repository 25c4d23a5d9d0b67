//! Reports this process to the ledger, every ten seconds from liftoff to the drain.
//!
//! Runs in every process, also without workers and on standby. The report is a small write, so it
//! shows whether the database accepts writes: a refusal is kept in the
//! [`Outage`](crate::ledger::Outage) until a report succeeds. No work waits for a report.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::context::Context;
use crate::{domain::error_chain, ledger::LedgerError};

/// The mean interval of reports.
const INTERVAL: Duration = Duration::from_secs(10);
/// The interval while the database refuses writes, so that this process is ready soon after.
const INTERVAL_WHILE_REFUSED: Duration = Duration::from_secs(2);

/// Reports this process until the drain starts.
pub(super) async fn report_presence(cx: &Context) {
    let mut failed = false;
    while !cx.draining.is_cancelled() {
        failed = report_once(cx, failed).await;
        let interval = if cx.outage.refusal().is_some() { INTERVAL_WHILE_REFUSED } else { INTERVAL };
        let next = tokio::time::sleep(interval.mul_f64(0.9 + 0.2 * fastrand::f64()));
        cx.draining
            .run_until_cancelled(async {
                tokio::select! {
                    () = next => {}
                    () = cx.presence.changed.notified() => {}
                }
            })
            .await;
    }
}

/// Removes this process from the table, when it has stopped to work.
pub(super) async fn remove_presence(cx: &Context) {
    if let Err(error) = cx.ledger.remove_worker(cx.presence.process).await {
        tracing::debug!(error = error_chain(&error), "this process could not be removed from the workers");
    }
}

/// Reports this process, and returns whether that failed. Logs the first failure, and the first
/// success after it.
async fn report_once(cx: &Context, failed_before: bool) -> bool {
    let report = cx.presence.report(cx.standby.load(Relaxed));
    let result = cx.ledger.report_worker(report).await;
    let refusal = result.as_ref().err().and_then(LedgerError::write_refusal);
    let refused_before = cx.outage.set_refusal(refusal);
    match &result {
        Err(error) if refusal.is_some() && refused_before.is_none() => {
            tracing::error!(error = error_chain(error), "the database refuses writes; work waits for it");
        }
        Err(error) if !failed_before => {
            tracing::warn!(error = error_chain(error), "this process could not be reported; it will be tried again");
        }
        Ok(()) if refused_before.is_some() => tracing::info!("the database accepts writes again"),
        Ok(()) if failed_before => tracing::info!("this process is reported again"),
        Ok(()) | Err(_) => {}
    }
    result.is_err()
}
