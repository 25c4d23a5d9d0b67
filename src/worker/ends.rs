//! Finds batches at their end: after every end of a job here a check follows, but not after each one its own.
//!
//! A check for each job would cost a good part of the job. So the checks of one batch keep a distance, and the last one always comes after
//! the last end. Of two processes that end the last jobs of a batch at once, each checks afterwards, and at least one finds it. When a
//! process dies in between, the feeder finds it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::Context;
use crate::domain::BatchId;

/// Between two checks of one batch.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The batches of which jobs ended here.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    schedule: Mutex<Schedule>,
    changed: Notify,
}

impl Ends {
    /// A job of `batch` ended.
    pub fn job_ended(&self, batch: BatchId) {
        if self.schedule().job_ended(batch) {
            self.changed.notify_one();
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which batches are to be checked, and when.
#[derive(Debug, Default)]
struct Schedule(HashMap<BatchId, Check>);

#[derive(Debug, Default)]
struct Check {
    last: Option<Instant>,
    /// Whether a job ended since.
    wanted: bool,
}

impl Schedule {
    /// Whether this asks for a check that was not asked for yet.
    fn job_ended(&mut self, batch: BatchId) -> bool {
        !std::mem::replace(&mut self.0.entry(batch).or_default().wanted, true)
    }

    /// When the next check is due.
    fn next(&self, now: Instant) -> Option<Instant> {
        let wanted = self.0.values().filter(|check| check.wanted);
        wanted.map(|check| check.last.map_or(now, |last| last + CHECK_INTERVAL)).min()
    }

    /// Takes the batches whose check is due, and forgets those that were checked long enough ago.
    fn take_due(&mut self, now: Instant) -> Vec<BatchId> {
        let rested = |check: &Check| check.last.is_none_or(|last| last + CHECK_INTERVAL <= now);
        self.0.retain(|_, check| check.wanted || !rested(check));
        let due = self.0.iter_mut().filter(|(_, check)| check.wanted && rested(check));
        let take = |(batch, check): (&BatchId, &mut Check)| {
            *check = Check { last: Some(now), wanted: false };
            *batch
        };
        due.map(take).collect()
    }
}

/// Checks until the drain begins. What ends afterwards the feeder of another process finds, or that of the next start.
pub(super) async fn check_ends(cx: &Context) {
    while !cx.draining.is_cancelled() {
        let next = cx.ends.schedule().next(Instant::now());
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => cx.ends.changed.notified().await,
            }
        };
        cx.draining.run_until_cancelled(due).await;
        let batches = cx.ends.schedule().take_due(Instant::now());
        if !batches.is_empty() {
            check(cx, &batches).await;
        }
    }
}

async fn check(cx: &Context, batches: &[BatchId]) {
    match cx.patiently(|| cx.ledger.at_end(batches)).await {
        None => {}
        Some(Ok(ends)) => cx.offer_status(ends).await,
        Some(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "could not look for batches at their end; the feeder will");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_check_follows_every_end_and_checks_of_a_batch_keep_a_distance() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut schedule = Schedule::default();

        assert_eq!(schedule.next(start), None);
        assert!(schedule.job_ended(id(1)));
        assert!(!schedule.job_ended(id(1)), "it is asked for already");
        assert_eq!(schedule.next(at(5)), Some(at(5)));
        assert_eq!(schedule.take_due(at(5)), [id(1)]);
        assert_eq!(schedule.next(at(6)), None);

        schedule.job_ended(id(1));
        schedule.job_ended(id(2));
        assert_eq!(schedule.take_due(at(50)), [id(2)], "the other one was checked just now");
        assert_eq!(schedule.next(at(51)), Some(at(105)));
        assert_eq!(schedule.take_due(at(105)), [id(1)]);
    }

    #[test]
    fn batches_that_are_done_with_are_forgotten() {
        let start = Instant::now();
        let mut schedule = Schedule::default();

        for batch in 1..=1_000 {
            schedule.job_ended(id(batch));
        }
        assert_eq!(schedule.take_due(start).len(), 1_000);
        schedule.take_due(start + CHECK_INTERVAL);

        assert!(schedule.0.is_empty());
    }
}
