//! The batches whose last job may have finished in this process.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::BatchId;

/// The batches with jobs that finished in this process and were not taken yet.
#[derive(Debug, Default)]
pub(crate) struct FinishedJobs {
    batches: Mutex<HashSet<BatchId>>,
    finished: Notify,
}

impl FinishedJobs {
    /// Adds `batch`, because one of its jobs finished.
    pub fn job_finished(&self, batch: BatchId) {
        if self.batches.lock().unwrap_or_else(PoisonError::into_inner).insert(batch) {
            self.finished.notify_one();
        }
    }

    /// Waits until there is a batch, and takes all batches. Cancel safe.
    pub(super) async fn take(&self) -> Vec<BatchId> {
        loop {
            self.finished.notified().await;
            let batches = std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner));
            // An earlier call may already have taken the batches of this notification.
            if !batches.is_empty() {
                return batches.into_iter().collect();
            }
        }
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
    async fn returns_a_batch_after_every_finished_job() {
        let finished = FinishedJobs::default();
        let taken = || finished.take().now_or_never().map(|mut batches| (batches.sort(), batches).1);

        assert_eq!(taken(), None);
        [1, 2, 1].into_iter().for_each(|batch| finished.job_finished(id(batch)));
        assert_eq!(taken(), Some(vec![id(1), id(2)]));
        assert_eq!(taken(), None);

        // While the caller still checks the same batch.
        finished.job_finished(id(1));
        assert_eq!(taken(), Some(vec![id(1)]));
    }
}
