//! Finds batches whose last job finished: every finished job is followed by a check, but one check
//! may follow many jobs.
//!
//! A check after each job would cost a large part of the job itself. Checks therefore keep an
//! interval, and each check covers all batches with jobs that finished since the check before. The
//! last check always comes after the last job. When two processes finish the last two jobs of a
//! batch at the same time, each of them checks afterwards, and at least one finds the batch. When a
//! process dies before its check, the feeder finds the batch.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::context::Context;
use crate::domain::BatchId;

/// The interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The batches with jobs that finished in this process since the last check.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    batches: Mutex<HashSet<BatchId>>,
    ended: Notify,
}

impl Ends {
    /// Requests a check of `batch`, because one of its jobs finished.
    pub fn job_ended(&self, batch: BatchId) {
        if self.batches.lock().unwrap_or_else(PoisonError::into_inner).insert(batch) {
            self.ended.notify_one();
        }
    }

    /// Waits for a request, and takes all requests. Cancel safe.
    async fn take(&self) -> Vec<BatchId> {
        loop {
            self.ended.notified().await;
            let batches = std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner));
            // The check before may have taken the batches of this notification.
            if !batches.is_empty() {
                return batches.into_iter().collect();
            }
        }
    }
}

/// Checks until the drain starts. A batch whose last job finishes later is found by the feeder of
/// another process, or of the next start.
pub(super) async fn check_ends(cx: &Context) {
    while let Some(batches) = cx.draining.run_until_cancelled(cx.ends.take()).await {
        match cx.retry_until_drain(|| cx.ledger.at_end(&batches)).await {
            None => {}
            Some(Ok(ends)) => cx.offer_status(ends).await,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not check for batches to close; the feeder will");
            }
        }
        cx.sleep_unless_draining(CHECK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[tokio::test]
    async fn requests_a_check_after_every_finished_job() {
        let ends = Ends::default();
        let taken = || ends.take().now_or_never().map(|mut batches| (batches.sort(), batches).1);

        assert_eq!(taken(), None);
        [1, 2, 1].into_iter().for_each(|batch| ends.job_ended(id(batch)));
        assert_eq!(taken(), Some(vec![id(1), id(2)]));
        assert_eq!(taken(), None);

        // During the check of the same batch.
        ends.job_ended(id(1));
        assert_eq!(taken(), Some(vec![id(1)]));
    }
}
