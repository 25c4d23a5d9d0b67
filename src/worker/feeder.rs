//! Ledger to queue: one mechanism for a new batch, a retry, a resume, a restart and a loss.
//!
//! ```text
//!   called for a batch     the window, and the first jobs of batches that are new in it
//!   jobs ended, or half    the next jobs of the batches in the window
//!   of the queue is gone
//!   every feed_interval    the head: the first of the jobs that were offered, again. When one was absent, the queue has lost something, and
//!                          all is offered again. And what else is to be done: ends, hooks, plans, counts
//! ```
//!
//! The ledger says what ought to be in the queues; the queues take what they do not have. So
//! offering twice is no harm, and what this feeder remembers of its offers only spares it work. A
//! batch that nobody called for is found as well: one, say, that a host's transaction brought. It
//! is planned first, and the next round finds its jobs.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::time::Instant;

use super::Context;
use crate::{
    domain::{Backoff, BatchId, BatchStatus, Invalid, ItemOptions, Plan, QueueCapacity, Task, error_chain},
    ledger::{JobQuery, LedgerError, OpenJob, OpenJobs, PlanInput, Planned, TaskQuery, Unplanned},
    queue::{Offer, Queue, QueueError},
};

/// Runs until the drain begins.
pub(crate) struct Feeder {
    cx: Arc<Context>,
    /// From which number on the jobs of the batches in the window were not offered yet.
    offered_to: HashMap<BatchId, u64>,
    /// Jobs in the queue that wait or are active, as they were counted last, and what was added
    /// since.
    queued: u64,
    /// Where the next look for batches to close goes on.
    ends_after: Option<BatchId>,
    /// When the next round comes by itself that looks for everything.
    check_at: Instant,
    /// When a delayed job is due that the queue may not have.
    due_at: Option<Instant>,
    /// When to look how many jobs are left in the queue, while there are more than are in it.
    level_at: Option<Instant>,
    /// When to look for the hooks that one look did not answer.
    hooks_at: Option<Instant>,
}

/// What a round does.
#[derive(Debug, Default)]
struct Round {
    jobs: bool,
    refill: bool,
    level: bool,
    hooks: bool,
    check: bool,
}

/// Whether the time has come; it is taken then, so that it comes once.
fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

impl Feeder {
    /// Offers at a time.
    const PAGE: usize = 500;
    /// So many of the next jobs are always in the queue: whatever else is there, other people's
    /// jobs too, must not keep ours out.
    const HEAD: u64 = 100;
    /// Calls within this time are answered together.
    const GATHER: Duration = Duration::from_millis(5);
    /// After a round, calls are gathered for so many times as long as it took, so that rounds take
    /// a quarter of the time at most; but
    const REST_PER_ROUND: u32 = 3;
    /// not for longer than this, since somebody waits.
    const LONGEST_REST: Duration = Duration::from_millis(250);
    /// While jobs are left out, the queue is looked at so often: others may work it as well, and
    /// each process counts its own ends alone.
    const LEVEL_INTERVAL: Duration = Duration::from_secs(1);
    /// Adding jobs for longer than this, it may have added some that were taken out meanwhile.
    const LONG: Duration = Duration::from_millis(50);
    /// Batches that are looked at for that, at most.
    const TAKE_BACK: usize = 20;
    /// Between two looks for delayed jobs that are due, or for hooks that one look did not answer.
    const DUE_INTERVAL: Duration = Duration::from_secs(1);
    /// Between two tries to reach the queue.
    const RETRY_BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

    pub fn new(cx: Arc<Context>) -> Self {
        Self {
            cx,
            offered_to: HashMap::new(),
            queued: 0,
            ends_after: None,
            check_at: Instant::now(),
            due_at: None,
            level_at: None,
            hooks_at: None,
        }
    }

    pub async fn run(mut self) {
        let mut failures = 0;
        while !self.cx.draining.is_cancelled() {
            let round = self.next_round();
            let began = Instant::now();
            let fed = self.feed(&round).await;
            let rest = (began.elapsed() * Self::REST_PER_ROUND).clamp(Self::GATHER, Self::LONGEST_REST);
            failures = if fed { 0 } else { failures + 1 };
            self.plan_next(&round, failures);
            tokio::select! {
                biased;
                () = self.cx.draining.cancelled() => break,
                () = self.cx.wakeup.called(), if fed => self.cx.sleep_unless_draining(rest).await,
                () = tokio::time::sleep_until(self.next_at()) => {}
            }
        }
    }

    fn next_round(&mut self) -> Round {
        let (calls, refill) = self.cx.wakeup.answer();
        let now = Instant::now();
        let check = now >= self.check_at || calls.all;
        let due = take_due(&mut self.due_at, now);
        self.offered_to.retain(|batch, _| !calls.batches.contains(batch));
        Round {
            jobs: !calls.batches.is_empty() || due || refill || check,
            refill: refill || check,
            level: take_due(&mut self.level_at, now),
            hooks: calls.hooks || take_due(&mut self.hooks_at, now),
            check,
        }
    }

    /// When the next round comes by itself.
    fn next_at(&self) -> Instant {
        [self.due_at, self.level_at, self.hooks_at].into_iter().flatten().fold(self.check_at, Instant::min)
    }

    /// The next check: soon when the queue could not be reached, which is no reason to leave a new
    /// batch waiting when it can.
    fn plan_next(&mut self, round: &Round, failures: u32) {
        let usual = self.cx.config.feed_interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        if failures > 0 {
            // What was offered is not known any more, and the check looks for all else.
            self.offered_to.clear();
            (self.due_at, self.level_at, self.hooks_at) = (None, None, None);
            self.check_at = Instant::now() + Self::RETRY_BACKOFF.jittered(failures, fastrand::f64()).min(usual);
        } else if round.check {
            self.check_at = Instant::now() + usual;
        }
    }

    /// One round; answers whether the queue could be reached.
    async fn feed(&mut self, round: &Round) -> bool {
        let fed = self.try_feed(round).await;
        if let Err(error) = &fed {
            let cause = error_chain(error);
            tracing::warn!(cause, "the feeder could not reach the queue; it tries again");
        }
        fed.is_ok()
    }

    async fn try_feed(&mut self, round: &Round) -> Result<(), QueueError> {
        if round.check {
            self.feed_tasks(TaskQuery::All { ends_after: self.ends_after }).await?;
            self.check_head().await?;
        } else if round.hooks {
            self.feed_tasks(TaskQuery::Hooks).await?;
        }
        let refill = round.refill || (round.level && self.is_low().await?);
        if round.jobs || refill {
            self.feed_jobs(refill).await?;
        }
        Ok(())
    }

    /// Whether half of what was in the queue is gone.
    async fn is_low(&mut self) -> Result<bool, QueueError> {
        self.level_at = Some(Instant::now() + Self::LEVEL_INTERVAL);
        let counts = self.cx.generate.counts().await?;
        Ok(counts.waiting + counts.active <= self.queued / 2)
    }

    /// Offers the first jobs of the window again that were offered before: when one was absent, the
    /// queue has lost something.
    async fn check_head(&mut self) -> Result<(), QueueError> {
        let capacity = QueueCapacity { per_batch: Self::HEAD, total: Self::HEAD };
        let head = JobQuery { capacity, free: Self::HEAD, offered_to: HashMap::new(), ..self.query(true) };
        let Some(mut found) = self.look(head).await else { return Ok(()) };
        found.jobs.retain(|open| self.offered_to.get(&open.job.batch).is_some_and(|to| open.job.seq < *to));
        if self.offer_jobs(&found.jobs).await? > 0 {
            self.offered_to.clear();
        }
        Ok(())
    }

    /// Offers the first jobs of batches that are new in the window, and, to `refill` the queue, the
    /// next ones of all others.
    async fn feed_jobs(&mut self, refill: bool) -> Result<(), QueueError> {
        if refill {
            let counts = self.cx.generate.counts().await?;
            self.cx.delayed.store(counts.delayed, SeqCst);
            self.queued = counts.waiting + counts.active;
        }
        // Offering everything again, what is there already takes no room.
        let taken = if self.offered_to.is_empty() { 0 } else { self.queued };
        let free = self.cx.config.queued.saturating_sub(taken).max(Self::HEAD);
        let Some(found) = self.look(JobQuery { free, ..self.query(refill) }).await else { return Ok(()) };
        let began = Instant::now();
        self.offer_jobs(&found.due).await?;
        let added = self.offer_jobs(&found.jobs).await?;
        self.queued += added;
        self.remember(&found);
        if added > 0 && began.elapsed() > Self::LONG {
            self.take_back(&found.window).await?;
        }
        self.due_at = found.next_due.map(|due| Instant::now() + due.max(Self::DUE_INTERVAL));
        if refill || found.left_out {
            self.level_at = found.left_out.then(|| Instant::now() + Self::LEVEL_INTERVAL);
            let queued = self.queued.saturating_sub(self.cx.wakeup.ended_since());
            self.cx.wakeup.left_out(found.left_out.then_some(queued));
        }
        Ok(())
    }

    /// Takes out what was offered of batches that were paused or cancelled while others of their
    /// jobs were being added: who did that took out what was there then. What came in the last
    /// moment is left to the workers, which find in the ledger that there is nothing to do.
    async fn take_back(&mut self, offered: &[BatchId]) -> Result<(), QueueError> {
        let Some(now) = self.look(self.query(false)).await else { return Ok(()) };
        let window: HashSet<BatchId> = now.window.into_iter().collect();
        for batch in offered.iter().filter(|batch| !window.contains(batch)).take(Self::TAKE_BACK) {
            // Others left the window since they ended, or for smaller ones.
            let Some(Ok(record)) = self.cx.retry_until_drain(|| self.cx.ledger.batch(*batch)).await else {
                return Ok(());
            };
            if matches!(record.status, BatchStatus::Paused | BatchStatus::Cancelled) {
                self.cx.generate.withdraw(*batch).await?;
                self.offered_to.remove(batch);
            }
        }
        Ok(())
    }

    fn query(&self, refill: bool) -> JobQuery {
        JobQuery {
            window: self.cx.config.feed_window,
            capacity: self.cx.config.capacity(),
            free: 0,
            offered_to: self.offered_to.clone(),
            refill,
            max_backoff: self.cx.config.generate.backoff().max,
        }
    }

    async fn look(&self, query: JobQuery) -> Option<OpenJobs> {
        match self.cx.retry_until_drain(|| self.cx.ledger.open_jobs(query.clone())).await? {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the feeder could not read the open jobs");
                None
            }
        }
    }

    /// Notes what was offered, of the batches in the window alone.
    fn remember(&mut self, found: &OpenJobs) {
        let window: HashSet<BatchId> = found.window.iter().copied().collect();
        self.offered_to.retain(|batch, _| window.contains(batch));
        for job in found.jobs.iter().map(|open| open.job).filter(|job| window.contains(&job.batch)) {
            let to = self.offered_to.entry(job.batch).or_default();
            *to = (*to).max(job.seq + 1);
        }
    }

    async fn offer_jobs(&self, jobs: &[OpenJob]) -> Result<u64, QueueError> {
        let mut offers: Vec<_> = jobs.iter().map(offer).collect();
        // Across batches the first ones come first, so that a worker never waits for the pages of
        // another batch.
        offers.sort_by_key(|offer| offer.rank);
        self.pages(&*self.cx.generate, &offers).await
    }

    async fn feed_tasks(&mut self, query: TaskQuery) -> Result<(), QueueError> {
        let Some(found) = self.cx.retry_until_drain(|| self.cx.ledger.open_tasks(query)).await else { return Ok(()) };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the feeder could not read the open tasks");
                return Ok(());
            }
        };
        if let TaskQuery::All { .. } = query {
            self.ends_after = found.next;
        }
        self.hooks_at = found.left_out.then(|| Instant::now() + Self::DUE_INTERVAL);
        found.left_behind.iter().for_each(|batch| self.cx.summaries.changed(*batch));
        let offer = |(task, delay)| Offer { task: Task::Status(task), rank: 0, delay, attempts_made: 0 };
        let offers: Vec<_> = found.status.into_iter().map(offer).collect();
        let fed = self.pages(&*self.cx.status, &offers).await.map(drop);
        self.plan(found.unplanned).await;
        fed
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
            self.cx.wakeup.wake();
        }
    }

    /// `None` when the drain began.
    async fn plan_one(&self, asked: &Unplanned) -> Option<Result<(), LedgerError>> {
        let Unplanned { batch: id, quantity, ref options } = *asked;
        let cut = match self.cut(quantity, options).await? {
            Ok(cut) => cut,
            Err(error) => return Some(Err(error)),
        };
        let planned = match self.cx.retry_until_drain(|| self.cx.ledger.plan(id, cut.clone())).await? {
            Ok(planned) => planned,
            Err(error) => return Some(Err(error)),
        };
        match (planned, &cut) {
            (Planned::NothingToDo, _) => {}
            (Planned::Now, Ok(cut)) => {
                let jobs = cut.plan.jobs();
                tracing::info!(batch = %id, quantity, jobs, "Planned batch {id} of {quantity} items in {jobs} jobs");
            }
            (Planned::Now, Err(invalid)) => {
                tracing::error!(batch = %id, quantity, error = %invalid, "Batch {id} could not be planned and failed");
                self.cx.ended.notify_waiters();
            }
        }
        Some(Ok(()))
    }

    /// How a batch that was asked for is cut, or why it can't be. `None` when the drain began.
    async fn cut(
        &self,
        quantity: u64,
        options: &ItemOptions,
    ) -> Option<Result<Result<PlanInput, Invalid>, LedgerError>> {
        let plan = match Plan::new(quantity, options, &self.cx.config.limits()) {
            Ok(plan) => plan,
            Err(invalid) => return Some(Ok(Err(invalid))),
        };
        let throughput = self.cx.config.generate.throughput();
        let estimated = self.cx.retry_until_drain(|| self.cx.estimator.estimate(&plan, &throughput)).await?;
        let key_fingerprint = self.cx.codes.fingerprint().to_owned();
        Some(estimated.map(|estimated| Ok(PlanInput { plan, key_fingerprint, estimated })))
    }

    /// Offers page by page; answers how many were absent.
    async fn pages(&self, queue: &dyn Queue, offers: &[Offer]) -> Result<u64, QueueError> {
        let mut added = 0;
        let mut pages = offers.chunks(Self::PAGE).peekable();
        while let Some(page) = pages.next() {
            if self.cx.draining.is_cancelled() {
                break;
            }
            let absent = queue.offer(page).await?;
            tracing::debug!(queue = queue.name(), offered = page.len(), added = absent, "the feeder offered a page");
            added += absent;
            if pages.peek().is_some() && !self.cx.config.feed_pause.is_zero() {
                self.cx.sleep_unless_draining(self.cx.config.feed_pause).await;
            }
        }
        Ok(added)
    }
}

fn offer(open: &OpenJob) -> Offer {
    let OpenJob { job, first, quantity, rank, attempts_made } = *open;
    Offer { task: Task::Generate { job, first, quantity }, rank, delay: Duration::ZERO, attempts_made }
}
