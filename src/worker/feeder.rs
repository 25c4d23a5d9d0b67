//! Ledger to queue: one mechanism for a new batch, a retry, a resume, a restart and a loss.
//!
//! Each round asks the ledger what ought to be in the queues and offers it; the queues take what they do not have. A round follows a ring
//! of the [`Bell`], and comes by itself every `feed_interval`, so what nobody rang for is found as well: a batch, say, that somebody else's
//! transaction brought. Such a one is planned first, and the next round finds its jobs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::Context;
use crate::{
    domain::{Backoff, Plan, Task, with_causes},
    ledger::{Cut, LedgerError, OpenJob, OpenWork, Planned, Unplanned},
    queue::{Offer, Queue, QueueError},
};

/// Calls the feeder.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    notify: Notify,
    /// Jobs that ended since the last round.
    ended: AtomicU64,
    /// So many have to end before the queue is filled up again; 0 when the ledger has no more than is in it.
    refill: AtomicU64,
}

impl Bell {
    /// There is work.
    pub fn ring(&self) {
        self.notify.notify_one();
    }

    /// A job ended: there may be a hook to call, or room for jobs that were left out.
    pub fn ended(&self, hook: bool) {
        let ended = self.ended.fetch_add(1, SeqCst) + 1;
        let refill = self.refill.load(SeqCst);
        if hook || (refill > 0 && ended >= refill) {
            self.ring();
        }
    }

    /// A round begins: jobs that end from here on make room that it may not see.
    fn answering(&self) {
        self.ended.store(0, SeqCst);
    }

    /// A round offered so many jobs, and left others out or not. The next one comes when half of them are gone, or a hundred.
    fn answered(&self, offered: usize, left_out: bool) {
        let refill = if left_out { (offered as u64 / 2).clamp(1, 100) } else { 0 };
        self.refill.store(refill, SeqCst);
        if refill > 0 && self.ended.load(SeqCst) >= refill {
            self.ring();
        }
    }
}

/// Runs until the drain begins.
pub(crate) struct Feeder(pub Arc<Context>);

impl Feeder {
    /// Offers at a time.
    const PAGE: usize = 500;
    /// So many of the next jobs are always in the queue: whatever else is there, other people's jobs too, must not keep ours out.
    const NEXT: usize = 100;
    /// Rings within this time are answered together.
    const GATHER: Duration = Duration::from_millis(5);
    /// Between two tries to reach the queue.
    const AGAIN: Backoff = Backoff { first: Duration::from_millis(50), most: Duration::from_secs(1) };

    pub async fn run(self) {
        let mut failures = 0;
        while !self.0.draining.is_cancelled() {
            failures = if self.round().await { 0 } else { failures + 1 };
            let interval = self.interval(failures);
            tokio::select! {
                biased;
                () = self.0.draining.cancelled() => break,
                () = self.0.bell.notify.notified() => self.0.nap(Self::GATHER).await,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Until the next round: soon when the queue could not be reached, which is no reason to leave a new batch waiting when it can.
    fn interval(&self, failures: u32) -> Duration {
        let usual = self.0.config.feed_interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        if failures == 0 { usual } else { Self::AGAIN.jittered(failures, fastrand::f64()).min(usual) }
    }

    /// One round; answers whether the queue could be reached.
    async fn round(&self) -> bool {
        self.0.bell.answering();
        let room = self.0.config.room();
        let Some(found) = self.0.patiently(|| self.0.ledger.open_work(room)).await else { return true };
        let fed = match found {
            Ok(mut work) => {
                let unplanned = std::mem::take(&mut work.unplanned);
                // First what is there already, so that nobody waits for a plan of many jobs.
                let fed = self.feed(work).await;
                self.plan(unplanned).await;
                fed
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the feeder could not read the open work");
                return true;
            }
        };
        if let Err(error) = &fed {
            let cause = with_causes(error);
            tracing::warn!(cause, "the feeder could not reach the queue; it tries again");
        }
        fed.is_ok()
    }

    /// Plans batches that were only asked for. What can't be written now is found again.
    async fn plan(&self, unplanned: Vec<Unplanned>) {
        let mut planned = false;
        for asked in unplanned {
            let Some(done) = self.plan_one(&asked).await else { return };
            match done {
                Ok(()) => planned = true,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(batch = %asked.batch, error, "a batch could not be planned; it is tried again");
                }
            }
        }
        if planned {
            self.0.bell.ring();
        }
    }

    /// `None` when the drain began.
    async fn plan_one(&self, asked: &Unplanned) -> Option<Result<(), LedgerError>> {
        let Unplanned { batch: id, quantity, ref options } = *asked;
        let cut = Plan::new(quantity, options, &self.0.config.limits()).map(|plan| Cut {
            plan,
            key_fingerprint: self.0.codes.fingerprint().to_owned(),
            pace: self.0.config.generate.pace(),
        });
        let planned = match self.0.patiently(|| self.0.ledger.plan(id, cut.clone())).await? {
            Ok(planned) => planned,
            Err(error) => return Some(Err(error)),
        };
        match (planned, &cut) {
            (Planned::Over, _) => {}
            (Planned::Now, Ok(cut)) => {
                let jobs = cut.plan.jobs();
                tracing::info!(batch = %id, quantity, jobs, "Planned batch {id} of {quantity} items in {jobs} jobs");
            }
            (Planned::Now, Err(invalid)) => {
                tracing::error!(batch = %id, quantity, error = %invalid, "Batch {id} could not be planned and failed");
                self.0.ended.notify_waiters();
            }
        }
        Some(Ok(()))
    }

    async fn feed(&self, work: OpenWork) -> Result<(), QueueError> {
        let status = work.status.into_iter().map(|(task, delay)| Offer {
            task: Task::Status(task),
            rank: 0,
            delay,
            attempts_made: 0,
        });
        let status: Vec<_> = status.collect();
        let jobs: Vec<_> = work.jobs.into_iter().map(offer).collect();
        self.pages(&*self.0.status, &status, u64::MAX).await?;
        let room = self.0.config.queued.saturating_sub(self.0.generate.counts().await?.open());
        let (next, rest) = jobs.split_at(jobs.len().min(Self::NEXT));
        self.pages(&*self.0.generate, next, u64::MAX).await?;
        let all_in = self.pages(&*self.0.generate, rest, room).await?;
        self.0.bell.answered(jobs.len(), work.left_out || !all_in);
        Ok(())
    }

    /// Offers page by page until `room` is used up; answers whether all were offered.
    async fn pages(&self, queue: &dyn Queue, offers: &[Offer], mut room: u64) -> Result<bool, QueueError> {
        let mut left = offers;
        while !left.is_empty() && !self.0.draining.is_cancelled() {
            if room == 0 {
                return Ok(false);
            }
            let (page, rest) =
                left.split_at(left.len().min(Self::PAGE).min(usize::try_from(room).unwrap_or(usize::MAX)));
            let added = queue.offer(page).await?;
            tracing::debug!(queue = queue.name(), offered = page.len(), added, "the feeder offered a page");
            room = room.saturating_sub(added);
            left = rest;
            if !left.is_empty() && !self.0.config.feed_pause.is_zero() {
                self.0.nap(self.0.config.feed_pause).await;
            }
        }
        Ok(true)
    }
}

fn offer(open: OpenJob) -> Offer {
    let OpenJob { job, first, quantity, rank, delay, attempts_made } = open;
    Offer { task: Task::Generate { job, first, quantity }, rank, delay, attempts_made }
}
