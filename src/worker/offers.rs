//! Offers tasks to a queue, page by page.

use std::time::Duration;

use super::context::Context;
use crate::{
    domain::{StatusTask, Task},
    ledger::OpenJob,
    queue::{Offer, Queue, QueueError},
};

/// Number of offers in a page.
const PAGE: usize = 500;

/// Offers jobs. Returns how many were added.
pub(super) async fn offer_jobs(cx: &Context, jobs: &[OpenJob]) -> Result<u64, QueueError> {
    let mut offers: Vec<_> = jobs.iter().map(job_offer).collect();
    // Sorted across batches, so that no worker waits for the pages of another batch.
    offers.sort_by_key(|offer| offer.rank);
    offer_pages(cx, &*cx.generate, &offers).await
}

/// Offers status tasks, each with its delay.
pub(super) async fn offer_tasks(cx: &Context, tasks: Vec<(StatusTask, Duration)>) -> Result<(), QueueError> {
    let offer = |(task, delay)| Offer { task: Task::Status(task), rank: 0, delay, attempts_made: 0 };
    let offers: Vec<_> = tasks.into_iter().map(offer).collect();
    offer_pages(cx, &*cx.status, &offers).await.map(drop)
}

async fn offer_pages(cx: &Context, queue: &dyn Queue, offers: &[Offer]) -> Result<u64, QueueError> {
    let mut total = 0;
    let mut pages = offers.chunks(PAGE).peekable();
    while let Some(page) = pages.next() {
        if cx.draining.is_cancelled() {
            break;
        }
        let added = queue.offer(page).await?;
        tracing::debug!(queue = queue.name(), offered = page.len(), added, "the feeder offered a page");
        total += added;
        if pages.peek().is_some() && !cx.config.feed_pause.is_zero() {
            cx.sleep_unless_draining(cx.config.feed_pause).await;
        }
    }
    Ok(total)
}

fn job_offer(open: &OpenJob) -> Offer {
    let OpenJob { job, first, quantity, rank, attempts_made } = *open;
    Offer { task: Task::Generate { job, first, quantity }, rank, delay: Duration::ZERO, attempts_made }
}
