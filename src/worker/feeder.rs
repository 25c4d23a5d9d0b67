//! Fills the queues from the ledger: one mechanism for new batches, retries, resumes, restarts and
//! lost tasks.
//!
//! Only the jobs of some batches are in the queue at a time: those of the window, which has the
//! oldest batches and those with the fewest open jobs.
//!
//! ```text
//!   woken for a batch      the first jobs of batches that are new in the window
//!   the queue is low       the next jobs of all batches in the window
//!   every feed_interval    a check. Offers the first jobs of the window again; if one was absent,
//!                          the queue has lost tasks, and all jobs are offered again. Refills the
//!                          queue. Also finds batches to close, batches to plan, batches with an
//!                          outdated summary, and hooks to call
//! ```
//!
//! The ledger determines what belongs in the queues, and a queue adds only absent tasks. Offering a
//! task twice is therefore harmless, and the feeder's record of its offers is only an optimisation.
//! A check also finds batches that the feeder was not woken for. Batches requested by SQL have no
//! jobs yet: the check plans them first.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    context::Context,
    offers::{offer_jobs, offer_tasks},
    planner::plan_batches,
};
use crate::{
    domain::{Backoff, BatchId, BatchStatus, QueueCapacity, error_chain},
    ledger::{JobQuery, OpenJob, OpenJobs, OpenTasks, TaskQuery},
    queue::QueueError,
    telemetry::events,
};

/// Fills the queues until the drain starts.
pub(crate) struct Feeder {
    cx: Arc<Context>,
    /// The `seq` of the next job to offer, for each batch of the window. A batch without an entry
    /// is new in the window.
    offered_to: HashMap<BatchId, u64>,
    /// What `offered_to` was when the queue was found to have lost jobs. Empty once all jobs were
    /// offered again.
    lost_to: HashMap<BatchId, u64>,
    /// Number of waiting and active jobs in the queue: the last count, plus the jobs added since.
    queued: u64,
    /// Where the next read of batches to close continues.
    close_after: Option<BatchId>,
    /// When the next check is due.
    check_at: Instant,
    /// When to look for due jobs: then a delayed job is due that may be missing from the queue.
    due_at: Option<Instant>,
    /// When to count the jobs in the queue. Only set while the ledger has jobs that are not in
    /// the queue.
    count_queue_at: Option<Instant>,
    /// When to read hooks again. Only set when the last read did not return all hooks.
    hooks_at: Option<Instant>,
}

/// The work of one pass.
#[derive(Debug, Default)]
struct FeederPass {
    /// Offer due jobs, and the first jobs of batches that are new in the window.
    jobs: bool,
    /// Count the jobs in the queue, and offer the next jobs of all batches when it is low.
    count_queue: bool,
    /// Offer hooks to call.
    hooks: bool,
    /// Run a check.
    check: bool,
}

/// Returns whether `at` is due, and clears it if so.
fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

impl Feeder {
    /// Number of jobs that are offered even if the queue is full, because other programs may have
    /// filled it. A check offers up to this many jobs a second time.
    const HEAD_JOBS: u64 = 100;
    /// The shortest pause between a wakeup and its pass. Further wakeups meanwhile lead to the same
    /// pass.
    const MIN_PAUSE: Duration = Duration::from_millis(5);
    /// The pause after a wakeup is three times the duration of the last pass, but at least
    /// `MIN_PAUSE` and at most `MAX_PAUSE`. Passes shorter than 83 ms therefore take at most a
    /// quarter of the time.
    const PAUSE_PER_PASS: u32 = 3;
    /// The longest pause after a wakeup.
    const MAX_PAUSE: Duration = Duration::from_millis(250);
    /// The interval of counting the queue while the ledger has jobs that are not in it. Needed
    /// because other processes may take jobs too, and each process counts only its own finished
    /// jobs.
    const QUEUE_COUNT_INTERVAL: Duration = Duration::from_secs(1);
    /// When adding jobs takes longer than this, the feeder checks whether their batches were paused
    /// or cancelled meanwhile.
    const LONG_OFFER: Duration = Duration::from_millis(50);
    /// Maximum number of batches that are checked after a long offer.
    const MAX_STOP_CHECKS: usize = 20;
    /// The shortest time between two reads of due jobs, and between two reads of further hooks.
    const DUE_INTERVAL: Duration = Duration::from_secs(1);
    /// The delay before the next pass after the queue could not be reached.
    const RETRY_BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };

    pub fn new(cx: Arc<Context>) -> Self {
        Self {
            cx,
            offered_to: HashMap::new(),
            lost_to: HashMap::new(),
            queued: 0,
            close_after: None,
            check_at: Instant::now(),
            due_at: None,
            count_queue_at: None,
            hooks_at: None,
        }
    }

    pub async fn run(mut self) {
        let mut failures = 0;
        while !self.cx.draining.is_cancelled() {
            let pass = self.next_pass();
            let started = Instant::now();
            let fed = self.feed(&pass).await;
            let pause = (started.elapsed() * Self::PAUSE_PER_PASS).clamp(Self::MIN_PAUSE, Self::MAX_PAUSE);
            failures = if fed { 0 } else { failures + 1 };
            self.schedule_next(&pass, failures);
            tokio::select! {
                biased;
                () = self.cx.draining.cancelled() => break,
                () = self.cx.wakeup.notified(), if fed => self.cx.sleep_unless_draining(pause).await,
                () = tokio::time::sleep_until(self.next_at()) => {}
            }
        }
    }

    fn next_pass(&mut self) -> FeederPass {
        let (reasons, has_room) = self.cx.wakeup.take();
        let now = Instant::now();
        let check = now >= self.check_at || reasons.all;
        let due = take_due(&mut self.due_at, now);
        self.offered_to.retain(|batch, _| !reasons.batches.contains(batch));
        FeederPass {
            jobs: !reasons.batches.is_empty() || due,
            count_queue: take_due(&mut self.count_queue_at, now) || has_room,
            hooks: reasons.hooks || take_due(&mut self.hooks_at, now),
            check,
        }
    }

    /// Returns when the next pass is due without a wakeup.
    fn next_at(&self) -> Instant {
        [self.due_at, self.count_queue_at, self.hooks_at].into_iter().flatten().fold(self.check_at, Instant::min)
    }

    /// Schedules the next check. If the queue could not be reached, the check follows after a short
    /// backoff, so that new batches do not wait for `feed_interval`.
    fn schedule_next(&mut self, pass: &FeederPass, failures: u32) {
        let usual = self.cx.config.feed_interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        if failures > 0 {
            // It is unknown which offers arrived. The next check covers all other work.
            self.offered_to.clear();
            (self.due_at, self.count_queue_at, self.hooks_at) = (None, None, None);
            self.check_at = Instant::now() + Self::RETRY_BACKOFF.jittered(failures, fastrand::f64()).min(usual);
        } else if pass.check {
            self.check_at = Instant::now() + usual;
        }
    }

    /// Runs one pass. Returns whether the queue could be reached.
    async fn feed(&mut self, pass: &FeederPass) -> bool {
        let fed = self.try_feed(pass).await;
        if let Err(error) = &fed {
            let error = error_chain(error);
            tracing::warn!(error, "the feeder could not reach the queue; it will try again");
        }
        fed.is_ok()
    }

    async fn try_feed(&mut self, pass: &FeederPass) -> Result<(), QueueError> {
        if pass.check {
            self.feed_tasks(TaskQuery::All { close_after: self.close_after }).await?;
            self.check_head().await?;
        } else if pass.hooks {
            self.feed_tasks(TaskQuery::Hooks).await?;
        }
        let refill = pass.check || (pass.count_queue && self.is_low().await?);
        if pass.jobs || refill {
            self.feed_jobs(refill).await?;
        }
        Ok(())
    }

    /// Returns whether at most two thirds as many jobs wait in the queue as it had after the last
    /// refill.
    ///
    /// Counting is cheap, and a refill costs as much as several jobs. Active jobs are ignored,
    /// because a job that has just finished may still be among them.
    async fn is_low(&mut self) -> Result<bool, QueueError> {
        self.count_queue_at = Some(Instant::now() + Self::QUEUE_COUNT_INTERVAL);
        let waiting = self.cx.generate.counts().await?.waiting;
        Ok(waiting * 3 <= self.queued * 2)
    }

    /// Offers again those of the first jobs of the window that were offered before. If one was
    /// absent, the queue has lost tasks, and all jobs are offered again.
    async fn check_head(&mut self) -> Result<(), QueueError> {
        let capacity = QueueCapacity { per_batch: Self::HEAD_JOBS, total: Self::HEAD_JOBS };
        let head = JobQuery { capacity, free: Self::HEAD_JOBS, offered_to: HashMap::new(), ..self.query(true) };
        let Some(mut open) = self.open_jobs(head).await else { return Ok(()) };
        open.jobs.retain(|open| self.offered_to.get(&open.job.batch).is_some_and(|to| open.job.seq < *to));
        let lost = offer_jobs(&self.cx, &open.jobs).await?;
        if lost > 0 {
            events::jobs_repaired(lost);
            self.lost_to = std::mem::take(&mut self.offered_to);
        }
        Ok(())
    }

    /// Offers due jobs, and the first jobs of batches that are new in the window. With `refill`,
    /// also offers the next jobs of all other batches.
    async fn feed_jobs(&mut self, refill: bool) -> Result<(), QueueError> {
        if refill {
            let counts = self.cx.generate.counts().await?;
            self.cx.delayed.store(counts.delayed, SeqCst);
            self.queued = counts.waiting + counts.active;
        }
        let query = JobQuery { free: self.free(), ..self.query(refill) };
        let Some(open) = self.open_jobs(query).await else { return Ok(()) };
        let started = Instant::now();
        let due = offer_jobs(&self.cx, &open.due).await?;
        let jobs = offer_jobs(&self.cx, &open.jobs).await?;
        self.count_repairs(&open, jobs);
        let added = due + jobs;
        self.queued += added;
        self.record_offers(&open);
        if added > 0 && started.elapsed() > Self::LONG_OFFER {
            self.withdraw_stopped(&open.window).await?;
        }
        self.due_at = open.next_due.map(|due| Instant::now() + due.max(Self::DUE_INTERVAL));
        if refill || open.has_more {
            self.schedule_count(open.has_more);
        }
        Ok(())
    }

    /// Counts the repairs when all jobs were offered again. Jobs that were not offered before are
    /// all absent; the others that were `added` had been lost.
    fn count_repairs(&mut self, offered: &OpenJobs, added: u64) {
        let lost_to = std::mem::take(&mut self.lost_to);
        if !lost_to.is_empty() {
            let is_first = |open: &&OpenJob| lost_to.get(&open.job.batch).is_none_or(|to| open.job.seq >= *to);
            events::jobs_repaired(added.saturating_sub(offered.jobs.iter().filter(is_first).count() as u64));
        }
    }

    /// Returns the number of jobs to offer. When all jobs are offered again, those that are already
    /// in the queue need no further capacity.
    fn free(&self) -> u64 {
        let taken = if self.offered_to.is_empty() { 0 } else { self.queued };
        self.cx.config.queued.saturating_sub(taken).max(Self::HEAD_JOBS)
    }

    /// Schedules the next count of the queue, if the ledger has jobs that are not in it.
    fn schedule_count(&mut self, ledger_has_more: bool) {
        self.count_queue_at = ledger_has_more.then(|| Instant::now() + Self::QUEUE_COUNT_INTERVAL);
        let queued = self.queued.saturating_sub(self.cx.wakeup.jobs_left());
        self.cx.wakeup.count_after_refill(ledger_has_more.then_some(queued));
    }

    /// Removes the offered jobs of batches that were paused or cancelled during the offer. The
    /// caller of pause or cancel removed only the jobs that were in the queue at that time. A job
    /// that still remains is discarded by the worker that receives it.
    async fn withdraw_stopped(&mut self, offered: &[BatchId]) -> Result<(), QueueError> {
        let Some(current) = self.open_jobs(self.query(false)).await else { return Ok(()) };
        let window: HashSet<BatchId> = current.window.into_iter().collect();
        for batch in offered.iter().filter(|batch| !window.contains(batch)).take(Self::MAX_STOP_CHECKS) {
            // A batch also leaves the window when it finishes, or when a smaller one takes its
            // place. After an error the jobs stay, and the workers discard those of stopped
            // batches.
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

    async fn open_jobs(&self, query: JobQuery) -> Option<OpenJobs> {
        match self.cx.retry_until_drain(|| self.cx.ledger.open_jobs(query.clone())).await? {
            Ok(open) => Some(open),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the feeder could not read the open jobs");
                None
            }
        }
    }

    /// Records which jobs were offered, and forgets the batches that left the window.
    fn record_offers(&mut self, offered: &OpenJobs) {
        let window: HashSet<BatchId> = offered.window.iter().copied().collect();
        self.offered_to.retain(|batch, _| window.contains(batch));
        for job in offered.jobs.iter().map(|open| open.job).filter(|job| window.contains(&job.batch)) {
            let to = self.offered_to.entry(job.batch).or_default();
            *to = (*to).max(job.seq + 1);
        }
    }

    /// Offers the tasks of the status queue, and plans batches, also when the queue cannot be
    /// reached.
    async fn feed_tasks(&mut self, query: TaskQuery) -> Result<(), QueueError> {
        let Some(open) = self.open_tasks(query).await else { return Ok(()) };
        if let TaskQuery::All { .. } = query {
            self.close_after = open.next;
        }
        self.hooks_at = open.has_more.then(|| Instant::now() + Self::DUE_INTERVAL);
        open.stale.iter().for_each(|batch| self.cx.summaries.changed(*batch));
        let offered = offer_tasks(&self.cx, open.status).await;
        plan_batches(&self.cx, open.unplanned).await;
        offered
    }

    async fn open_tasks(&self, query: TaskQuery) -> Option<OpenTasks> {
        match self.cx.retry_until_drain(|| self.cx.ledger.open_tasks(query)).await? {
            Ok(open) => Some(open),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the feeder could not read the open tasks");
                None
            }
        }
    }
}
