//! Finds batches at their end: after every end of a job here a check follows, but not after each
//! one its own.
//!
//! A check for each job would cost a good part of the job. So checks keep a distance, each looks at
//! all batches of which a job ended since the one before, and the last one always comes after the
//! last end. Of two processes that end the last jobs of a batch at once, each checks afterwards,
//! and at least one finds it. When a process dies in between, the feeder finds it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::Context;
use crate::domain::BatchId;

/// Between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The batches of which jobs ended here since the last check.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    batches: Mutex<HashSet<BatchId>>,
    ended: Notify,
}

impl Ends {
    /// A job of `batch` ended.
    pub fn job_ended(&self, batch: BatchId) {
        if self.batches.lock().unwrap_or_else(PoisonError::into_inner).insert(batch) {
            self.ended.notify_one();
        }
    }

    /// Waits for an end, and takes all that came. Cancel safe.
    async fn take(&self) -> Vec<BatchId> {
        loop {
            self.ended.notified().await;
            let batches = std::mem::take(&mut *self.batches.lock().unwrap_or_else(PoisonError::into_inner));
            // A check that was under way may have taken those of the last call.
            if !batches.is_empty() {
                return batches.into_iter().collect();
            }
        }
    }
}

/// Checks until the drain begins. What ends afterwards the feeder of another process finds, or that
/// of the next start.
pub(super) async fn check_ends(cx: &Context) {
    while let Some(batches) = cx.draining.run_until_cancelled(cx.ends.take()).await {
        match cx.retry_until_drain(|| cx.ledger.at_end(&batches)).await {
            None => {}
            Some(Ok(ends)) => cx.offer_status(ends).await,
            Some(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "could not look for batches at their end; the feeder will");
            }
        }
        cx.sleep_unless_draining(CHECK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use rocket::futures::FutureExt as _;

    use super::*;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[tokio::test]
    async fn a_check_follows_every_end() {
        let ends = Ends::default();
        let taken = || ends.take().now_or_never().map(|mut batches| (batches.sort(), batches).1);

        assert_eq!(taken(), None);
        [1, 2, 1].into_iter().for_each(|batch| ends.job_ended(id(batch)));
        assert_eq!(taken(), Some(vec![id(1), id(2)]));
        assert_eq!(taken(), None);

        // While a check of it is under way.
        ends.job_ended(id(1));
        assert_eq!(taken(), Some(vec![id(1)]));
    }
}
