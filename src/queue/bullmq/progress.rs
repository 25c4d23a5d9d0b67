//! Notes about an attempt on their way to its job in Redis, where BullMQ's tools show them.
//!
//! ```text
//!   handler ──▶ a short line, never waited for ──▶ writer ──▶ progress and log of the job
//!                     full: dropped                   no answer in time: dropped, with all that came meanwhile
//! ```
//!
//! Nothing waits for a note, neither the attempt nor its end, and none is worth a second try: the
//! ledger knows how far a job is.

use std::sync::OnceLock;

use bullmq::{Error, Job, types};
use tokio::{sync::mpsc, time::timeout};

use super::server::PROMPT;
use crate::queue::{ProgressSink, ProgressUpdate};

/// Notes that may wait; an attempt makes a dozen.
const ROOM: usize = 32;

/// Lines of its log that a job keeps from one attempt to the next, the last ones.
const LINES: u32 = 50;

/// Takes the notes of one attempt. From the first on somebody writes them down, until the notebook
/// is dropped and its last note written.
pub(super) struct JobProgress<'a> {
    job: &'a Job,
    writer: OnceLock<mpsc::Sender<ProgressUpdate>>,
}

impl<'a> JobProgress<'a> {
    pub const fn of(job: &'a Job) -> Self {
        Self { job, writer: OnceLock::new() }
    }

    fn writer(&self) -> &mpsc::Sender<ProgressUpdate> {
        self.writer.get_or_init(|| {
            let (sender, notes) = mpsc::channel(ROOM);
            tokio::spawn(write_down(self.job.clone(), notes));
            sender
        })
    }
}

impl ProgressSink for JobProgress<'_> {
    fn report(&self, update: ProgressUpdate) {
        // No room: Redis is slower than the attempt.
        let _ = self.writer().try_send(update);
    }
}

async fn write_down(mut job: Job, mut notes: mpsc::Receiver<ProgressUpdate>) {
    let mut lines = 0;
    while let Some(note) = notes.recv().await {
        let id = job.id().to_owned();
        match timeout(PROMPT, write(&mut job, note)).await {
            Ok(Ok(so_many)) => lines = so_many,
            // The job may be gone by now, which is as good a reason.
            Ok(Err(error)) => tracing::trace!(job = id, %error, "a note was not taken"),
            Err(_) => {
                tracing::debug!(job = id, "notes are dropped; Redis does not answer in time");
                while notes.try_recv().is_ok() {}
            }
        }
    }
    if lines > u64::from(LINES) {
        // The crate does not pass on how many lines a job is to keep.
        let _ = timeout(PROMPT, job.clear_logs(Some(LINES))).await;
    }
}

/// Answers how many lines the log has now.
async fn write(job: &mut Job, note: ProgressUpdate) -> Result<u64, Error> {
    if let Some(percent) = note.percent {
        job.update_progress(types::JobProgress::Number(percent.into())).await?;
    }
    job.log(&note.line).await
}
