//! The status task that compares the items of a large batch with its plan, page by page.
//!
//! The tally is stored every few pages, so another process continues there if this one dies.
//! Only the process whose earlier tally is the stored one may store the next, so two processes
//! never add up one page twice.

use std::time::Duration;

use tokio::time::Instant;

use super::{context::Context, failpoints};
use crate::{
    domain::{BatchId, error_chain},
    ledger::{LedgerError, StoredCheck},
    queue::Disposition,
};

/// The longest interval at which the tally is stored.
const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum number of pages between two stored tallies: 50,000 items.
const PAGES_PER_STORE: usize = 5;

/// Continues the check `run` of a batch to its end, or until the drain starts.
pub(super) async fn reconcile(cx: &Context, batch: BatchId, codes: bool, run: u32) -> Disposition {
    match cx.retry_until_drain(|| cx.ledger.stored_check(batch, codes)).await {
        None => Disposition::Release,
        Some(Ok(Some(check))) if check.run == run && !check.tally.is_finished() => continue_check(cx, check).await,
        Some(Ok(_)) => Disposition::Ack,
        Some(Err(error)) => failed(batch, &error),
    }
}

async fn continue_check(cx: &Context, mut check: StoredCheck) -> Disposition {
    let batch = check.batch;
    if check.tally.checked() > 0 {
        let items = check.tally.checked();
        tracing::info!(%batch, items, "The check of the items of batch {batch} continues");
    }
    while let Some(stored) = check.tally.next {
        if let Err(end) = add_pages(cx, &mut check).await {
            return end;
        }
        match cx.retry_forever(|| cx.ledger.store_check(&check, stored)).await {
            Ok(true) => {}
            Ok(false) => return Disposition::Ack,
            Err(error) => return failed(batch, &error),
        }
        if check.tally.is_finished() {
            break;
        }
        failpoints::reach(failpoints::CHECK_STORED).await;
        if cx.draining.is_cancelled() {
            return Disposition::Release;
        }
    }
    log_report(check);
    Disposition::Ack
}

/// Adds pages for a while, at least one.
async fn add_pages(cx: &Context, check: &mut StoredCheck) -> Result<(), Disposition> {
    let started = Instant::now();
    for _ in 0..PAGES_PER_STORE {
        let Some(from) = check.tally.next else { break };
        match cx.retry_until_drain(|| cx.ledger.item_page(check.batch, from, check.codes)).await {
            None => return Err(Disposition::Release),
            Some(Ok(page)) => check.tally.add(&page, &cx.codes),
            Some(Err(error)) => return Err(failed(check.batch, &error)),
        }
        if started.elapsed() >= STORE_INTERVAL || cx.draining.is_cancelled() {
            break;
        }
    }
    Ok(())
}

fn log_report(check: StoredCheck) {
    let batch = check.batch;
    let report = check.tally.report(batch, check.started_at, None);
    let (items, missing) = (report.checked_items, report.missing);
    let (strangers, wrong_codes) = (report.strangers_found, report.wrong_codes_found);
    if missing + strangers + wrong_codes > 0 {
        tracing::warn!(
            %batch, items, missing, strangers, wrong_codes,
            "The items of batch {batch} differ from its plan",
        );
    } else {
        tracing::info!(%batch, items, "The items of batch {batch} were checked");
    }
}

fn failed(batch: BatchId, error: &LedgerError) -> Disposition {
    let chain = error_chain(error);
    tracing::error!(%batch, error = chain, "status task failed; it will be tried again");
    Disposition::Retry(error.to_string())
}
