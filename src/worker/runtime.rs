//! Starts the workers of a process, keeps them on standby while another process is the leader, and
//! drains them.
//!
//! A local queue must be the only queue of its ledger, because two of them would fence each other
//! in turns. Only the leader works; when its process dies, the leadership becomes free and another
//! process acquires it. A shared queue needs no leader: every process may feed it, because offering
//! a task twice is harmless, and every process with workers takes tasks from it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::{
    batches_to_close::offer_batches_to_close,
    cleaner::Cleaner,
    context::Context,
    counter::{count_before_exit, keep_summaries},
    feeder::Feeder,
    generate::Generate,
    heartbeat::{remove_presence, report_presence},
    stall_check::log_stalls,
    status::Status,
    summary::LaunchSummary,
};
use crate::{
    ledger::Leadership,
    queue::{Drained, Queue},
};

/// The workers of this process.
pub(crate) struct Runtime {
    cx: Arc<Context>,
    summary: Arc<LaunchSummary>,
    tasks: TaskTracker,
}

impl Runtime {
    /// The interval at which a process on standby tries to acquire the leadership.
    const LEADERSHIP_INTERVAL: Duration = Duration::from_secs(1);

    pub fn new(cx: Context, summary: LaunchSummary) -> Self {
        Self { cx: Arc::new(cx), summary: Arc::new(summary), tasks: TaskTracker::new() }
    }

    /// Starts what the configured role and queue require: workers, standby, or only the feeder.
    /// Returns at once.
    pub fn start(&self) {
        let cx = self.cx.clone();
        let reporting = cx.clone();
        drop(self.tasks.spawn(async move { report_presence(&reporting).await }));
        match (cx.generate.is_shared(), cx.config.role.runs_jobs()) {
            (false, true) => drop(self.tasks.spawn(lead_and_feed(cx, self.summary.clone()))),
            (false, false) => self.summary.log_without_workers(),
            (true, true) => {
                self.summary.log_workers();
                drop(self.tasks.spawn(work_and_feed(cx)));
            }
            (true, false) => {
                self.summary.log_without_workers();
                drop(self.tasks.spawn(feed(cx)));
            }
        }
    }

    /// Stops taking jobs, and waits until running chunks are finished and their jobs are released,
    /// at most until `deadline`.
    pub async fn drain(&self, deadline: Instant) {
        self.cx.draining.cancel();
        self.tasks.close();
        let (generate, status, _) = tokio::join!(
            self.cx.generate.drain(deadline),
            self.cx.status.drain(deadline),
            tokio::time::timeout_at(deadline, self.tasks.wait()),
        );
        // Counts the jobs that were released last.
        let _ = tokio::time::timeout_at(deadline, count_before_exit(&self.cx)).await;
        let _ = tokio::time::timeout_at(deadline, remove_presence(&self.cx)).await;
        for (queue, drained) in [(&self.cx.generate, generate), (&self.cx.status, status)] {
            if let Drained::Left(left) = drained {
                let queue = queue.name();
                tracing::warn!(queue, left, "drain ended before its tasks; they will run again after a restart");
            }
        }
    }
}

/// Waits for the leadership, feeds and works until the drain starts, and keeps the leadership until
/// the last handler returned.
async fn lead_and_feed(cx: Arc<Context>, summary: Arc<LaunchSummary>) {
    let Some(leadership) = acquire_leadership(&cx, &summary).await else { return };
    summary.log_workers();
    work_and_feed(cx.clone()).await;
    // The next leader claims active jobs again, so no handler may run any more.
    keep_until_idle(&cx, leadership).await;
}

/// Feeds and works until the drain starts.
async fn work_and_feed(cx: Arc<Context>) {
    let (generate, status) = (Arc::new(Generate(cx.clone())), Arc::new(Status(cx.clone())));
    for started in [cx.generate.work(generate).await, cx.status.work(status).await] {
        if let Err(error) = started {
            tracing::error!(%error, "batch workers could not be started");
        }
    }
    tokio::join!(feed(cx.clone()), offer_batches_to_close(&cx));
}

/// Feeds, removes old history, updates the summaries and looks for stalled batches until the drain
/// starts.
async fn feed(cx: Arc<Context>) {
    tokio::join!(Feeder::new(cx.clone()).run(), Cleaner(cx.clone()).run(), keep_summaries(&cx), log_stalls(&cx));
}

async fn acquire_leadership(cx: &Context, summary: &LaunchSummary) -> Option<Leadership> {
    loop {
        match cx.retry_until_drain(|| cx.ledger.try_acquire_leadership()).await? {
            Ok(Some(leadership)) => {
                if cx.standby.swap(false, Relaxed) {
                    cx.presence.changed.notify_one();
                }
                return Some(leadership);
            }
            Ok(None) if !cx.standby.swap(true, Relaxed) => {
                cx.presence.changed.notify_one();
                summary.log_standby();
            }
            Ok(None) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "leadership could not be acquired; it will be tried again");
            }
        }
        cx.draining.run_until_cancelled(tokio::time::sleep(Runtime::LEADERSHIP_INTERVAL)).await?;
    }
}

async fn keep_until_idle(cx: &Context, leadership: Leadership) {
    let active = async |queue: &Arc<dyn Queue>| queue.counts().await.map_or(0, |counts| counts.active);
    while active(&cx.generate).await + active(&cx.status).await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(leadership);
}
