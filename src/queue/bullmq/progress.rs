//! Writes the progress of an attempt to its job in Redis, where BullMQ's tools show it.
//!
//! ```text
//!   handler ──▶ bounded channel ──▶ writer ──▶ progress and log of the job
//!                 full: dropped        timeout: dropped, with all pending updates
//! ```
//!
//! Neither the attempt nor its end waits for an update. A failed update is not retried, because the
//! ledger records how far a job is.

use std::sync::OnceLock;

use bullmq::{Error, Job, types};
use tokio::{sync::mpsc, time::timeout};

use super::timeouts::ROUND_TRIP_TIMEOUT;
use crate::queue::contract::{ProgressSink, ProgressUpdate};

/// The number of updates that may be pending; an attempt makes about a dozen.
const MAX_PENDING: usize = 32;

/// The number of log lines to keep of a job, the newest ones, over all its attempts.
const KEPT_LINES: u32 = 50;

/// Receives the updates of one attempt. The first update spawns a writer, which ends after this
/// value is dropped and the last update was written.
pub(super) struct JobProgress<'a> {
    job: &'a Job,
    writer: OnceLock<mpsc::Sender<ProgressUpdate>>,
}

impl<'a> JobProgress<'a> {
    pub const fn new(job: &'a Job) -> Self {
        Self { job, writer: OnceLock::new() }
    }

    fn writer(&self) -> &mpsc::Sender<ProgressUpdate> {
        self.writer.get_or_init(|| {
            let (sender, updates) = mpsc::channel(MAX_PENDING);
            tokio::spawn(write_all(self.job.clone(), updates));
            sender
        })
    }
}

impl ProgressSink for JobProgress<'_> {
    fn report(&self, update: ProgressUpdate) {
        // An error means that Redis is slower than the attempt; the update is dropped.
        let _ = self.writer().try_send(update);
    }
}

async fn write_all(mut job: Job, mut updates: mpsc::Receiver<ProgressUpdate>) {
    let mut lines = 0;
    while let Some(update) = updates.recv().await {
        let id = job.id().to_owned();
        match timeout(ROUND_TRIP_TIMEOUT, write(&mut job, update)).await {
            Ok(Ok(count)) => lines = count,
            // The job may already be removed.
            Ok(Err(error)) => tracing::trace!(job = id, %error, "progress update rejected"),
            Err(_) => {
                tracing::debug!(job = id, "progress updates dropped, Redis did not respond in time");
                while updates.try_recv().is_ok() {}
            }
        }
    }
    if lines > u64::from(KEPT_LINES) {
        // The `bullmq` crate does not pass on how many lines to keep when it adds one.
        let _ = timeout(ROUND_TRIP_TIMEOUT, job.clear_logs(Some(KEPT_LINES))).await;
    }
}

/// Writes one update and returns the number of lines in the log.
async fn write(job: &mut Job, update: ProgressUpdate) -> Result<u64, Error> {
    if let Some(percent) = update.percent {
        job.update_progress(types::JobProgress::Number(percent.into())).await?;
    }
    job.log(&update.line).await
}
