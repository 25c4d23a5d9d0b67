//! Starts the workers of a process, keeps them standing by while another process leads, and drains
//! them.
//!
//! A queue in the process works its ledger alone: two such queues would fence each other in turns.
//! Whoever has the lead works; when its process dies, the lead is free and the next one takes it. A
//! shared queue needs no lead: every process feeds it, since offering twice is no harm, and every
//! process that works takes from it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    Context,
    cleaner::Cleaner,
    ends::check_ends,
    feeder::Feeder,
    generate::Generate,
    status::Status,
    summaries::{count, keep_summaries},
};
use crate::{
    ledger::Leadership,
    queue::{Drained, Queue},
};

/// The workers of this process.
pub(crate) struct Runtime {
    cx: Arc<Context>,
    tasks: TaskTracker,
}

impl Runtime {
    /// How often a process that stands by asks for the lead.
    const ASK_AGAIN: Duration = Duration::from_secs(1);

    pub fn new(cx: Context) -> Self {
        Self { cx: Arc::new(cx), tasks: TaskTracker::new() }
    }

    /// Starts to work, to stand by or, where others work, to feed. Returns at once.
    pub fn start(&self) {
        let cx = self.cx.clone();
        match (cx.generate.is_shared(), cx.config.role.works()) {
            (false, true) => drop(self.tasks.spawn(lead_and_feed(cx))),
            (false, false) => {}
            (true, true) => drop(self.tasks.spawn(work_and_feed(cx))),
            (true, false) => drop(self.tasks.spawn(feed(cx))),
        }
    }

    /// Stops fetching, waits until running chunks ended and their jobs were given back, at most
    /// until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        self.cx.draining.cancel();
        self.tasks.close();
        let (generate, status, _) = tokio::join!(
            self.cx.generate.drain(deadline),
            self.cx.status.drain(deadline),
            tokio::time::timeout_at(deadline, self.tasks.wait()),
        );
        // What was given back last is shown as it is.
        let _ = tokio::time::timeout_at(deadline, count(&self.cx)).await;
        for (queue, drained) in [(&self.cx.generate, generate), (&self.cx.status, status)] {
            if let Drained::Left(left) = drained {
                tracing::warn!(
                    queue = queue.name(),
                    left,
                    "the drain ended before these tasks did; they come back after a restart"
                );
            }
        }
    }
}

/// Feeds and works from the moment this process has the lead, and keeps it until the end.
async fn lead_and_feed(cx: Arc<Context>) {
    let Some(lead) = lead(&cx).await else { return };
    work_and_feed(cx.clone()).await;
    // Not before the last handler is gone: whoever leads next begins the jobs again.
    keep_until_idle(&cx, lead).await;
}

/// Feeds and works until the drain begins.
async fn work_and_feed(cx: Arc<Context>) {
    let (generate, status) = (Arc::new(Generate(cx.clone())), Arc::new(Status(cx.clone())));
    for started in [cx.generate.work(generate).await, cx.status.work(status).await] {
        if let Err(error) = started {
            tracing::error!(%error, "the workers could not be started");
        }
    }
    tokio::join!(feed(cx.clone()), check_ends(&cx));
}

/// Feeds, removes old history and keeps the summaries, until the drain begins.
async fn feed(cx: Arc<Context>) {
    tokio::join!(Feeder::new(cx.clone()).run(), Cleaner(cx.clone()).run(), keep_summaries(&cx));
}

async fn lead(cx: &Context) -> Option<Leadership> {
    let mut stood_by = false;
    loop {
        match cx.retry_until_drain(|| cx.ledger.try_acquire_leadership()).await? {
            Ok(Some(lead)) => {
                tracing::info!(stood_by, "batch workers start");
                return Some(lead);
            }
            Ok(None) if !stood_by => {
                tracing::info!("another process works this database; this one stands by");
                stood_by = true;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "could not ask for the lead"),
        }
        cx.draining.run_until_cancelled(tokio::time::sleep(Runtime::ASK_AGAIN)).await?;
    }
}

async fn keep_until_idle(cx: &Context, lead: Leadership) {
    let active = async |queue: &Arc<dyn Queue>| queue.counts().await.map_or(0, |counts| counts.active);
    while active(&cx.generate).await + active(&cx.status).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(lead);
}
