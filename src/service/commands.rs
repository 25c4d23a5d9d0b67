//! Changes batches: retry, cancel, pause, resume.

use super::{
    error::{BatchError, Result},
    handle::{BatchService, to_batch_id},
};
use crate::{
    domain::{BatchId, BatchRecord, RetryOptions, RetryReport},
    ledger::BatchCommand,
};

impl BatchService {
    /// Wakes the feeder of this process, which otherwise searches for work every `feed_interval`.
    /// Call this after the commit of a transaction that created a batch.
    pub fn wake_feeder(&self) {
        (self.parts().wake)(None);
    }

    /// Recreates the failed jobs of a batch, each with all its attempts again. Only missing items
    /// are generated.
    ///
    /// # Errors
    ///
    /// [`BatchError::NothingToRetry`] with the report, also for the second of two simultaneous
    /// calls; [`BatchError::NotAllowed`] in a status other than running, paused and failed;
    /// [`BatchError::HistoryRemoved`] when the batch finished longer than `keep_history` ago;
    /// [`BatchError::NoSuchBatch`].
    pub async fn retry_failed_jobs(&self, batch_id: i64) -> Result<RetryReport> {
        self.retry_selected_jobs(batch_id, RetryOptions::default()).await
    }

    /// Recreates the failed jobs of a batch that `options` select, or only reports what that would
    /// do. See [`BatchService::retry_failed_jobs`].
    ///
    /// ```no_run
    /// # async fn retry(batches: rocket_batch::BatchService) -> rocket_batch::Result<()> {
    /// use rocket_batch::{PageQuery, RetryOptions};
    ///
    /// let groups = batches.failure_groups(42, PageQuery::default()).await?;
    /// for group in groups.items {
    ///     let options = RetryOptions { group: Some(group.group), dry_run: true, ..RetryOptions::default() };
    ///     let report = batches.retry_selected_jobs(42, options).await?;
    ///     println!("{}: {} jobs would run again", group.title, report.recreated);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`BatchService::retry_failed_jobs`], also in a dry run, and
    /// [`BatchError::Invalid`] for options out of their limits. It is
    /// [`BatchError::NothingToRetry`] when the options select no failed job.
    pub async fn retry_selected_jobs(&self, batch_id: i64, options: RetryOptions) -> Result<RetryReport> {
        options.check()?;
        let report = self.bounded(self.parts().ledger.retry(to_batch_id(batch_id)?, options, self.caller())).await?;
        if report.found == 0 {
            return Err(BatchError::NothingToRetry(Box::new(report.truncated())));
        }
        if report.dry_run {
            return Ok(report.truncated());
        }
        let (found, recreated) = (report.found, report.recreated);
        tracing::info!(batch = batch_id, found, recreated, "Retrying {recreated} failed jobs of batch {batch_id}");
        (self.parts().wake)(Some(report.batch_id));
        // A job whose items all exist is completed by the retry, and may have been the last open
        // job.
        self.wake_feeder();
        Ok(report.truncated())
    }

    /// Cancels a batch and keeps the items that exist. Until this returns, each running worker may
    /// still insert one chunk; afterwards none does.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] when the batch is finished; [`BatchError::HookFailed`] when the
    /// finish hook of the host returned an error; [`BatchError::NoSuchBatch`].
    pub async fn cancel(&self, batch_id: i64) -> Result<BatchRecord> {
        let batch = self.control(batch_id, BatchCommand::Cancel).await?;
        self.parts().finished.notify_waiters();
        self.withdraw(batch.batch_id).await;
        Ok(batch)
    }

    /// Pauses a batch: running jobs stop after their current chunk, and no job starts.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] unless the batch is pending or running,
    /// [`BatchError::NoSuchBatch`].
    pub async fn pause(&self, batch_id: i64) -> Result<BatchRecord> {
        let batch = self.control(batch_id, BatchCommand::Pause).await?;
        self.withdraw(batch.batch_id).await;
        Ok(batch)
    }

    /// Resumes a paused batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::NotAllowed`] unless the batch is paused, [`BatchError::NoSuchBatch`].
    pub async fn resume(&self, batch_id: i64) -> Result<BatchRecord> {
        self.control(batch_id, BatchCommand::Resume).await
    }

    async fn control(&self, batch_id: i64, command: BatchCommand) -> Result<BatchRecord> {
        let controlled =
            self.bounded(self.parts().ledger.control(to_batch_id(batch_id)?, command, self.caller())).await;
        if let Err(BatchError::HookFailed(error)) = &controlled {
            tracing::warn!(batch = batch_id, error, "finish hook failed; the batch is not cancelled");
        }
        let batch = controlled?;
        let done = match command {
            BatchCommand::Cancel => "cancelled",
            BatchCommand::Pause => "paused",
            BatchCommand::Resume => "resumed",
        };
        let (status, items) = (batch.status, batch.items_created);
        tracing::info!(batch = batch_id, %status, items, "Batch {batch_id} was {done}");
        self.parts().live.changed(&batch);
        (self.parts().wake)(Some(batch.batch_id));
        if command == BatchCommand::Cancel {
            // There may be a hook to call for the end of the batch.
            self.wake_feeder();
        }
        Ok(batch)
    }

    /// Removes the jobs of a batch from the queue. Best effort: a worker that receives a remaining
    /// job discards it, because the ledger does not let it claim the job.
    async fn withdraw(&self, batch: BatchId) {
        if let Err(error) = self.parts().generate.withdraw(batch).await {
            tracing::warn!(%batch, %error, "could not remove the jobs of a batch from the queue");
        }
    }
}
