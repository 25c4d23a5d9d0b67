//! Watches batches, and reads their changes for all watchers of this process.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    error::{BatchError, Result},
    handle::{BatchService, to_batch_id},
};
use crate::{
    domain::{Progress, WaitingFor, error_chain},
    ledger::ChangeQuery,
    live::{EVENT_INTERVAL, Live, TooManyWatchers, Watch, WatchAll},
};

/// How long a watcher waits for the first read of its batch.
const FIRST_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A new read starts no sooner than ten times the duration of the last read after that read
/// started. So reads for watchers take at most a tenth of the time.
const READ_INTERVAL_FACTOR: u32 = 10;

/// The longest time between the starts of two reads.
const MAX_READ_INTERVAL: Duration = Duration::from_secs(5);

/// How long a read may take. After that the database does not respond.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The progress of a batch, again after every change. See [`BatchService::watch`].
pub struct ProgressStream(Pin<Box<dyn Stream<Item = Progress> + Send>>);

impl Stream for ProgressStream {
    type Item = Progress;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        self.0.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for ProgressStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressStream").finish_non_exhaustive()
    }
}

impl From<TooManyWatchers> for BatchError {
    fn from(too_many: TooManyWatchers) -> Self {
        match too_many {
            TooManyWatchers::InProcess => Self::TooManyWatchers,
            TooManyWatchers::OfCaller => Self::TooManyWatchersOfCaller,
        }
    }
}

impl BatchService {
    /// Watches a batch: a stream of its progress, first as it is now, then after every change, at
    /// most four times a second. The stream ends after the progress of the finished batch, and at
    /// the start of a shutdown.
    ///
    /// A pause, resume, cancel or end in this process is shown at once, its new items within half a
    /// second, and changes of other processes within a second. A stream that is polled too slowly
    /// skips to the latest progress, and never misses the last. One read of the ledger serves all
    /// streams of a process. The process sends at most 1,000 events a second; above that each
    /// stream gets fewer.
    ///
    /// ```no_run
    /// # use rocket::futures::StreamExt as _;
    /// # async fn show(batches: rocket_batch::BatchService) -> Result<(), rocket_batch::BatchError> {
    /// let mut progress = batches.watch(7).await?;
    /// while let Some(progress) = progress.next().await {
    ///     println!("{} of {} items", progress.items_created, progress.items_total);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BatchError::NoSuchBatch`]; [`BatchError::TooManyWatchers`] if the process has 10,000
    /// streams already, or half as many as it may have open files;
    /// [`BatchError::Unavailable`] if the database does not respond within 10 seconds, or during a
    /// shutdown.
    pub async fn watch(&self, batch_id: i64) -> Result<ProgressStream> {
        let watch = self.watch_for(batch_id, None).await?;
        let progress = stream::unfold(watch, async |mut watch| Some((watch.next().await?, watch)));
        let ended = self.parts().draining.clone().cancelled_owned();
        Ok(ProgressStream(Box::pin(progress.map(Arc::unwrap_or_clone).take_until(ended))))
    }

    /// Watches a batch for `caller`.
    pub(crate) async fn watch_for(&self, batch_id: i64, caller: Option<&str>) -> Result<Watch> {
        let mut watch = self.parts().live.watch(to_batch_id(batch_id)?, caller)?;
        let first_read = timeout(FIRST_READ_TIMEOUT, watch.exists());
        match self.parts().draining.run_until_cancelled(first_read).await {
            Some(Ok(true)) => Ok(watch),
            Some(Ok(false)) => Err(BatchError::NoSuchBatch(batch_id)),
            Some(Err(elapsed)) => Err(BatchError::Unavailable(elapsed.into())),
            None => Err(BatchError::Unavailable("the process is shutting down".into())),
        }
    }

    /// Watches all batches for `caller`.
    pub(crate) fn watch_all(&self, caller: Option<&str>) -> Result<WatchAll> {
        Ok(self.parts().live.watch_all(caller)?)
    }

    /// Waits until all streams have ended, which they do when a shutdown starts.
    pub(crate) async fn until_unwatched(&self) {
        self.parts().live.until_unwatched(Duration::from_secs(1)).await;
    }

    /// Completes when a shutdown starts.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.parts().draining.clone().cancelled_owned()
    }

    /// Reads changes while somebody watches, until the start of a shutdown.
    pub(crate) async fn inform_watchers(self) {
        let draining = self.parts().draining.clone();
        let live = Arc::clone(&self.parts().live);
        draining
            .run_until_cancelled(async {
                loop {
                    match live.query() {
                        Some(query) => self.read_and_publish(&live, query).await,
                        None => live.woken().await,
                    }
                }
            })
            .await;
    }

    /// Reads once, and publishes until the next read is due.
    async fn read_and_publish(&self, live: &Live, query: ChangeQuery) {
        let started = Instant::now();
        let changes = timeout(READ_TIMEOUT, self.parts().ledger.changes(query.clone())).await;
        let took = started.elapsed();
        let is_read = match changes {
            Ok(Ok(changes)) => {
                live.store(&query, changes, started);
                true
            }
            Ok(Err(error)) => {
                tracing::debug!(error = error_chain(&error), "changes could not be read");
                false
            }
            Err(_) => false,
        };
        self.publish(live, is_read).await;
        let earliest = started + (took * READ_INTERVAL_FACTOR).min(MAX_READ_INTERVAL);
        let next = earliest.max(started + EVENT_INTERVAL);
        while timeout_at(next, live.woken()).await.is_ok() {
            if live.has_unread() {
                return tokio::time::sleep_until(earliest).await;
            }
            self.publish(live, is_read).await;
        }
    }

    /// Shows watchers what changed. After a failed read, shows that the database does not respond.
    async fn publish(&self, live: &Live, is_read: bool) {
        if !is_read || self.parts().outage.is_on() {
            return live.publish(is_read, |batch| self.progress(batch, Some(WaitingFor::Database)));
        }
        let waits = self.jobs_wait_for().await;
        live.publish(true, |batch| self.progress(batch, waits.of(batch)));
    }
}
