//! The batches whose last job may have finished in this process.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::domain::BatchId;

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
    pub(super) async fn take(&self) -> Vec<BatchId> {
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
