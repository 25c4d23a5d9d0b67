//! Waits for the end of a batch, and for its hooks.

use std::{pin::pin, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    error::{BatchError, Result},
    handle::{BatchService, to_batch_id},
};
use crate::domain::{BatchId, Progress};

/// The interval of reads while waiting for a change that another process may make.
const READ_INTERVAL: Duration = Duration::from_millis(250);

impl BatchService {
    /// Waits until a batch is finished, at most `limit` plus the duration of one read.
    ///
    /// Returns at once when the batch finishes in this process, and within a quarter of a second
    /// when it finishes in another process. Hooks are called a moment later; to wait for them, use
    /// [`until_hooks_done`](Self::until_hooks_done).
    ///
    /// # Errors
    ///
    /// [`BatchError::NotFinished`] with the progress when `limit` elapses first;
    /// [`BatchError::NoSuchBatch`].
    pub async fn until_finished(&self, batch_id: i64, limit: Duration) -> Result<Progress> {
        self.finished_by(batch_id, Instant::now() + limit).await
    }

    /// Waits until a batch is finished and none of its hooks waits for a call, at most `limit` plus
    /// the duration of one read. Returns the progress as it was when the batch finished.
    ///
    /// A hook waits no longer when a call succeeded, or when the last of `status.attempts` calls
    /// failed. Returns at once when the last call ends in this process, and within a quarter of a
    /// second when it ends in another process.
    ///
    /// # Errors
    ///
    /// [`BatchError::HooksPending`] with the number of hooks that are left when `limit` elapses
    /// first, and as [`until_finished`](Self::until_finished).
    pub async fn until_hooks_done(&self, batch_id: i64, limit: Duration) -> Result<Progress> {
        let deadline = Instant::now() + limit;
        let progress = self.finished_by(batch_id, deadline).await?;
        let id = to_batch_id(batch_id)?;
        let check = move || async move {
            match self.open_hooks(id).await? {
                0 => Ok(()),
                open => Err(BatchError::HooksPending { batch_id: id, open }),
            }
        };
        self.repeat_until(&self.parts().hook_ended, deadline, check).await?;
        Ok(progress)
    }

    async fn finished_by(&self, batch_id: i64, deadline: Instant) -> Result<Progress> {
        let check = move || async move {
            let progress = self.get_batch_job_progress(batch_id).await?;
            if progress.status.is_finished() { Ok(progress) } else { Err(BatchError::NotFinished(Box::new(progress))) }
        };
        self.repeat_until(&self.parts().finished, deadline, check).await
    }

    async fn open_hooks(&self, batch: BatchId) -> Result<u64> {
        let _permit = self.parts().reads.one().await?;
        self.bounded(self.parts().ledger.open_hooks(batch)).await
    }

    /// Repeats `check` after each notification and at an interval, until it succeeds or `deadline`
    /// passes.
    async fn repeat_until<T, F>(&self, changed: &Notify, deadline: Instant, check: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            let mut notified = pin!(changed.notified());
            // From here on no notification is missed, including one during the check below.
            notified.as_mut().enable();
            let pending = match check().await {
                // One of the next reads gets a permit.
                Err(BatchError::Busy) if Instant::now() < deadline => continue,
                Err(pending @ (BatchError::NotFinished(_) | BatchError::HooksPending { .. })) => pending,
                result => return result,
            };
            let next_read = (Instant::now() + READ_INTERVAL).min(deadline);
            if timeout_at(next_read, notified).await.is_err() && next_read == deadline {
                return Err(pending);
            }
        }
    }
}
