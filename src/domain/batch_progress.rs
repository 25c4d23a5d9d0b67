//! The progress of a batch: how far it is, how fast, and why it does not advance.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    batch::{BatchId, BatchStatus},
    job::Throughput,
    progress::{JobCounts, estimate, percent},
    record::BatchRecord,
};

/// The progress of a batch. The jobs by state always sum to `total`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Progress {
    /// The batch.
    pub batch_id: BatchId,
    /// The status of the batch.
    pub status: BatchStatus,
    /// Number of jobs; 0 before the batch is planned.
    pub total: u64,
    /// Number of jobs by state.
    #[serde(flatten)]
    pub jobs: JobCounts,
    /// Number of requested items.
    pub items_total: u64,
    /// Number of items that exist.
    pub items_created: u64,
    /// The percentage of items that exist, rounded down. 100 only when the batch is finished.
    #[schemars(range(max = 100))]
    pub percent: u8,
    /// Estimated seconds until the batch is finished, at the measured speed. Assumes that only the
    /// workers of this process work, and only on this batch. 0 when the batch is finished, null
    /// while it is paused or not planned yet.
    pub eta_seconds: Option<u64>,
    /// Items per second over the last ten seconds, by all processes. 0 when the batch is finished.
    pub items_per_second: u64,
    /// When the last item was inserted, to within a second; null before the first one.
    pub last_item_at: Option<DateTime<Utc>>,
    /// Why the batch does not advance now; null if jobs can run, or if the reason is none of these.
    pub waiting_for: Option<WaitingFor>,
    /// Whether jobs of a running batch could run, but no item was created for ten times the usual
    /// duration of a chunk, and for at least 60 seconds.
    pub stalled: bool,
}

/// A reason why jobs can't run. No attempt is counted meanwhile.
///
/// If there are several, the first of these is given: the database, a pause of the batch, its
/// finish hook, the queue or its pause, another leader, no workers, the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum WaitingFor {
    /// The database does not respond, or refuses writes.
    Database,
    /// The queue does not respond: Redis can't be reached.
    Queue,
    /// A caller paused the batch, or a tool of BullMQ paused the queue.
    Paused,
    /// Jobs wait and none runs, because as many have started as `generate.rate_limit` allows: by
    /// default 5 per 10 seconds, over all processes and batches.
    RateLimit,
    /// All jobs are finished, but the host's finish hook returned an error, so the batch can't
    /// finish yet. The hook is called again.
    Hook,
    /// Another process works on this database, and this one is on standby: without Redis, one
    /// process at a time runs the jobs. The batch advances as soon as that process gets to it.
    Leader,
    /// No process runs jobs: none with workers has reported itself or inserted an item for 13
    /// seconds. Start a process with the role `worker` or `all`.
    Workers,
}

/// Why the jobs of batches do not advance, as this process sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JobsWaitFor {
    /// Why this process starts no waiting job.
    pub to_start: Option<WaitingFor>,
    /// Whether no process runs jobs.
    pub is_nobody_left: bool,
}

impl JobsWaitFor {
    /// Why the open jobs of `batch` do not advance. Active jobs only wait for a process: the one
    /// that runs them, or one that takes them over.
    pub fn of(self, batch: &BatchRecord) -> Option<WaitingFor> {
        let to_start = self.to_start.filter(|_| batch.has_only_waiting_jobs());
        let nobody = (self.is_nobody_left && batch.has_open_jobs()).then_some(WaitingFor::Workers);
        match to_start {
            None | Some(WaitingFor::RateLimit) => nobody.or(to_start),
            reason => reason,
        }
    }
}

/// What is known when progress is computed, besides the batch.
#[derive(Debug, Clone, Copy)]
#[doc(hidden)]
#[allow(unnameable_types, reason = "only a hidden function takes it, which the tests of the ledger call")]
pub struct Observation<'a> {
    /// How fast jobs are worked.
    pub throughput: &'a Throughput,
    /// Number of items per chunk.
    pub chunk_size: u64,
    /// The time of the observation.
    pub now: DateTime<Utc>,
    /// What this process waits for.
    pub waiting_for: Option<WaitingFor>,
}

/// The shortest time without a new item after which a batch is stalled.
const MIN_STALL: Duration = Duration::from_secs(60);
/// The same time, as a multiple of the usual duration of a chunk.
const CHUNKS_PER_STALL: u32 = 10;

impl Progress {
    /// Computes the progress of `batch` as observed.
    #[must_use]
    #[doc(hidden)]
    pub fn of(batch: &BatchRecord, observed: &Observation<'_>) -> Self {
        let is_finished = batch.status.is_finished();
        let waiting_for = batch.waiting_for(observed.waiting_for);
        Self {
            batch_id: batch.batch_id,
            status: batch.status,
            total: batch.jobs.total(),
            jobs: batch.jobs,
            items_total: batch.quantity,
            items_created: batch.items_created,
            percent: percent(batch.items_created, batch.quantity, is_finished),
            eta_seconds: batch.eta_seconds(observed.throughput),
            items_per_second: batch.activity.items_per_second(batch.started_at, observed.now),
            last_item_at: batch.activity.last_item_at,
            waiting_for,
            stalled: waiting_for.is_none() && batch.is_stalled(observed),
        }
    }
}

impl BatchRecord {
    /// Estimates the seconds until the batch is finished.
    fn eta_seconds(&self, throughput: &Throughput) -> Option<u64> {
        let left = self.quantity.saturating_sub(self.items_created);
        match self.status {
            BatchStatus::Paused => None,
            status if status.is_finished() => Some(0),
            _ if self.jobs.total() == 0 => None,
            _ => Some(estimate(self.jobs.open(), left, 0, throughput, self.measured).as_secs()),
        }
    }

    /// What the batch waits for, if this process waits for `process`.
    fn waiting_for(&self, process: Option<WaitingFor>) -> Option<WaitingFor> {
        match self.status {
            // Without the database nothing is known for sure.
            _ if process == Some(WaitingFor::Database) => process,
            BatchStatus::Paused => Some(WaitingFor::Paused),
            status if status.is_finished() => None,
            _ if self.waits_for_hook() => Some(WaitingFor::Hook),
            _ => process,
        }
    }

    /// Whether jobs of the started batch could run, but no item came for too long. Jobs that are
    /// delayed until their next attempt do not count.
    fn is_stalled(&self, observed: &Observation<'_>) -> bool {
        let usual = self.measured.duration_of(observed.chunk_size.min(self.options.batch_size));
        let limit = usual.saturating_mul(CHUNKS_PER_STALL).max(MIN_STALL);
        let last = self.activity.last_item_at.max(self.started_at);
        let silence = last.and_then(|last| (observed.now - last).to_std().ok()).unwrap_or_default();
        self.status == BatchStatus::Running && self.jobs.waiting + self.jobs.active > 0 && silence >= limit
    }

    /// Whether only the host's finish hook keeps the batch from finishing.
    const fn waits_for_hook(&self) -> bool {
        self.hook_error.is_some() && self.jobs.open() == 0
    }

    /// Whether jobs of the batch are to be run.
    pub(crate) fn has_open_jobs(&self) -> bool {
        matches!(self.status, BatchStatus::Pending | BatchStatus::Running) && self.jobs.open() > 0
    }

    /// Returns whether jobs of the batch may start, and none is active.
    pub(crate) fn has_only_waiting_jobs(&self) -> bool {
        let may_start = matches!(self.status, BatchStatus::Pending | BatchStatus::Running);
        may_start && self.jobs.waiting > 0 && self.jobs.active == 0
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::{Activity, ItemOptions, Measured};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;
    const THROUGHPUT: Throughput = Throughput { concurrency: 2, rate_limit: None };

    /// A batch of 1,000 items that started at a minute ago, with one job that waits.
    fn running() -> BatchRecord {
        BatchRecord {
            batch_id: BatchId::new(7).unwrap(),
            status: BatchStatus::Running,
            quantity: 1_000,
            options: ItemOptions { batch_size: 100, ..ItemOptions::default() },
            jobs: JobCounts { waiting: 1, completed: 9, ..JobCounts::default() },
            items_created: 900,
            round: 0,
            created_at: NOW - TimeDelta::minutes(2),
            started_at: Some(NOW - TimeDelta::minutes(1)),
            finished_at: None,
            error: None,
            hook_error: None,
            history_removed: false,
            repaired: false,
            measured: Measured { items: 900, worked: Duration::from_secs(9) },
            activity: Activity { recent_items: 25, last_item_at: Some(NOW - TimeDelta::seconds(2)) },
        }
    }

    fn observed(batch: &BatchRecord, waiting_for: Option<WaitingFor>) -> Progress {
        Progress::of(batch, &Observation { throughput: &THROUGHPUT, chunk_size: 50, now: NOW, waiting_for })
    }

    #[test]
    fn the_speed_is_that_of_the_last_ten_seconds_or_since_the_start() {
        let started = |seconds| BatchRecord { started_at: Some(NOW - TimeDelta::seconds(seconds)), ..running() };
        let speed = |batch: &BatchRecord| observed(batch, None).items_per_second;

        assert_eq!([60, 10, 5, 1, 0].map(|seconds| speed(&started(seconds))), [3, 3, 5, 25, 25]);
        // A clock that was set back.
        assert_eq!(speed(&started(-60)), 25);
    }

    #[test]
    fn a_batch_waits_for_its_own_reason_before_that_of_the_process() {
        let [paused, completed] =
            [BatchStatus::Paused, BatchStatus::Completed].map(|status| BatchRecord { status, ..running() });
        let hook = BatchRecord { hook_error: Some("closed".into()), jobs: JobCounts::default(), ..running() };
        let waits = |batch: &BatchRecord, process| observed(batch, process).waiting_for;

        for process in [None, Some(WaitingFor::RateLimit), Some(WaitingFor::Database)] {
            let is_away = process == Some(WaitingFor::Database);
            let own = |own| if is_away { process } else { own };
            assert_eq!(waits(&running(), process), process);
            assert_eq!(waits(&paused, process), own(Some(WaitingFor::Paused)));
            assert_eq!(waits(&hook, process), own(Some(WaitingFor::Hook)));
            assert_eq!(waits(&completed, process), own(None));
        }
    }

    #[test]
    fn nobody_left_is_given_unless_a_waiting_job_could_not_start_anyway() {
        let waits = |to_start, is_nobody_left, jobs| {
            JobsWaitFor { to_start, is_nobody_left }.of(&BatchRecord { jobs, ..running() })
        };
        let waiting = JobCounts { waiting: 2, completed: 1, ..JobCounts::default() };
        let active = JobCounts { waiting: 1, active: 1, ..JobCounts::default() };
        let delayed = JobCounts { delayed: 1, ..JobCounts::default() };
        let done = JobCounts { completed: 3, ..JobCounts::default() };

        for reason in [WaitingFor::Queue, WaitingFor::Paused, WaitingFor::Leader] {
            assert_eq!(waits(Some(reason), true, waiting), Some(reason));
            assert_eq!(waits(Some(reason), true, active), Some(WaitingFor::Workers));
            assert_eq!(waits(Some(reason), false, active), None);
        }
        for reason in [None, Some(WaitingFor::RateLimit)] {
            assert_eq!(waits(reason, true, waiting), Some(WaitingFor::Workers));
            assert_eq!(waits(reason, false, waiting), reason);
            assert_eq!(waits(reason, true, delayed), Some(WaitingFor::Workers));
            assert_eq!(waits(reason, true, done), None);
        }
        let paused = BatchRecord { status: BatchStatus::Paused, jobs: waiting, ..running() };
        assert_eq!(JobsWaitFor { to_start: None, is_nobody_left: true }.of(&paused), None);
    }

    #[test]
    fn a_batch_stalls_without_a_new_item_for_a_minute_or_ten_chunks() {
        let silent = |seconds| BatchRecord {
            started_at: Some(NOW - TimeDelta::hours(1)),
            activity: Activity { recent_items: 0, last_item_at: Some(NOW - TimeDelta::seconds(seconds)) },
            ..running()
        };
        let stalls = |batch: &BatchRecord| observed(batch, None).stalled;

        assert_eq!([59, 60].map(|seconds| stalls(&silent(seconds))), [false, true]);
        // 50 items take 20 seconds.
        let slow = |seconds| BatchRecord {
            measured: Measured { items: 100, worked: Duration::from_secs(40) },
            ..silent(seconds)
        };
        assert_eq!([199, 200].map(|seconds| stalls(&slow(seconds))), [false, true]);
        let delayed = BatchRecord { jobs: JobCounts { delayed: 1, ..JobCounts::default() }, ..silent(600) };
        let paused = BatchRecord { status: BatchStatus::Paused, ..silent(600) };
        let pending = BatchRecord { status: BatchStatus::Pending, ..silent(600) };
        assert_eq!([delayed, paused, pending].map(|batch| stalls(&batch)), [false; 3]);
        assert!(!observed(&silent(600), Some(WaitingFor::RateLimit)).stalled);
        let never =
            BatchRecord { activity: Activity::default(), started_at: Some(NOW - TimeDelta::seconds(61)), ..running() };
        assert!(stalls(&never), "it has started, and has no item");
    }
}
