//! The values that the verbs which read a ledger take and return.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};

use super::types::Unplanned;
use crate::domain::{AuditAction, BatchId, BatchRecord, BatchStatus, JobId, Measured, QueueCapacity, StatusTask};

/// The jobs to find, for [`Ledger::open_jobs`](super::Ledger::open_jobs).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// The number of batches to feed at a time. Half of them are the oldest, half those with the
    /// fewest open jobs. If they have few jobs, more batches are included.
    pub window: u64,
    /// The number of jobs that may be in the queue.
    pub capacity: QueueCapacity,
    /// Number of jobs that still fit into the queue.
    pub free: u64,
    /// The first job number not yet offered, per batch. No job of a batch missing here was offered:
    /// all its first jobs are returned, including active ones.
    pub offered_to: HashMap<BatchId, u64>,
    /// Whether to return more jobs of the batches in `offered_to`, as far as the capacity allows.
    /// Otherwise only other batches are returned.
    pub refill: bool,
    /// The longest delay before a next attempt. Longer delays, caused by a wrong clock, are
    /// shortened.
    pub max_backoff: Duration,
}

/// The result of [`Ledger::open_jobs`](super::Ledger::open_jobs): jobs to put into the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenJobs {
    /// The batches of the window.
    pub window: Vec<BatchId>,
    /// Their first open jobs, batch by batch.
    pub jobs: Vec<OpenJob>,
    /// Delayed jobs of any batch that are due, up to a limit.
    pub due: Vec<OpenJob>,
    /// Whether there are more open jobs, inside or outside the window.
    pub has_more: bool,
    /// The time until the next delayed job is due. Zero if more are due than were returned.
    pub next_due: Option<Duration>,
}

/// A job that is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenJob {
    /// The job.
    pub job: JobId,
    /// Its first ordinal.
    pub first: u64,
    /// Its number of items.
    pub quantity: u64,
    /// Its distance from the first waiting or active job of its batch.
    pub rank: u64,
    /// The number of failed attempts.
    pub attempts_made: u32,
}

/// The tasks to find, for [`Ledger::open_tasks`](super::Ledger::open_tasks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskQuery {
    /// Hooks only.
    Hooks,
    /// All tasks.
    All {
        /// The batches to close are searched in the page after this batch, or in the first page.
        close_after: Option<BatchId>,
    },
}

/// The result of [`Ledger::open_tasks`](super::Ledger::open_tasks).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenTasks {
    /// Batches to close and hooks to call, with the time until they are due.
    pub status: Vec<(StatusTask, Duration)>,
    /// Batches to plan, the oldest first, up to a limit.
    pub unplanned: Vec<Unplanned>,
    /// Batches whose last [count](super::Records::summarize) is outdated: it found active jobs, and
    /// is so old that the process which worked on them must have died.
    pub stale: Vec<BatchId>,
    /// Where the next search for batches to close continues. `None` if it starts again.
    pub next: Option<BatchId>,
    /// Whether there are more hooks than were returned.
    pub has_more: bool,
}

/// The remaining work and the measured speed, see [`Records::backlog`](super::Records::backlog).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The open jobs of each unfinished batch, as last counted.
    pub open: Vec<u64>,
    /// The measured work of the batch that finished last.
    pub measured: Measured,
}

/// The maximum number of started batches whose open jobs [`Totals::totals`](super::Totals::totals)
/// counts.
#[cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]
pub const MAX_COUNTED_BATCHES: u64 = 10_000;

/// The counts of a whole ledger, see [`Totals::totals`](super::Totals::totals).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(not(any(feature = "metrics", rocket_batch_internals)), allow(dead_code, reason = "gauges show it"))]
pub struct TotalCounts {
    /// The number of batches of each status. A status without a batch is missing.
    pub batches: Vec<(BatchStatus, u64)>,
    /// Waiting jobs of open batches.
    pub waiting: u64,
    /// Active jobs of open batches.
    pub active: u64,
    /// Delayed jobs of open batches.
    pub delayed: u64,
    /// When the oldest pending or running batch was created.
    pub oldest_open: Option<DateTime<Utc>>,
    /// When about the last item was inserted.
    pub last_item_at: Option<DateTime<Utc>>,
    /// Hooks that will not be called again.
    pub hooks_given_up: u64,
}

/// How long a count of a batch stays fresh, whichever process made it.
pub const COUNT_INTERVAL: Duration = Duration::from_millis(250);

/// What this process recently did in a batch, for
/// [`Records::summarize`](super::Records::summarize).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentWork {
    /// The batch.
    pub batch: BatchId,
    /// Items inserted in the last ten seconds.
    pub items: u64,
    /// The time of the last insert.
    pub last_item_at: Option<DateTime<Utc>>,
}

/// The maximum number of batches that one process watches at a time.
pub const MAX_WATCHED_BATCHES: u64 = 1_000;

/// The batches whose changes to read, for [`Records::changes`](super::Records::changes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeQuery {
    /// The batches, each with the version that the caller has. Versions start at 1, so 0 stands for
    /// a batch that was not read yet.
    pub known: HashMap<BatchId, u64>,
    /// Whether to read further batches too: those that are open, or finished in the last ten
    /// seconds. At most [`MAX_WATCHED_BATCHES`].
    pub includes_open: bool,
}

impl ChangeQuery {
    /// Returns all batches to compare with their known versions: the known ones, and those of
    /// `open` that are not known.
    pub(in crate::ledger) fn candidates(&self, open: &[BatchId]) -> impl Iterator<Item = (BatchId, u64)> {
        let unknown = open.iter().filter(|batch| !self.known.contains_key(batch)).map(|batch| (*batch, 0));
        self.known.iter().map(|(batch, version)| (*batch, *version)).chain(unknown)
    }
}

/// A batch that changed, as in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchChange {
    /// The batch.
    pub record: BatchRecord,
    /// Its version, which increases with every change.
    pub version: u64,
}

/// The entries of the audit to list, for
/// [`AuditRecords::audit_log`](super::AuditRecords::audit_log).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only entries from this time on.
    pub since: Option<DateTime<Utc>>,
    /// Only entries with this actor. `unknown` selects those without one as well.
    pub actor: Option<String>,
    /// Only entries with this action.
    pub action: Option<AuditAction>,
}

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// The last key of the previous page. `None` for the first page.
    pub after: Option<u64>,
    /// The maximum number of rows.
    pub limit: u64,
}

impl PageRequest {
    /// The maximum size of a [`Portion`] as JSON, in bytes. A single row may exceed it.
    pub const MAX_BYTES: usize = 1_000_000;
}

/// The first rows of a page, up to [`PageRequest::MAX_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion<T> {
    /// The rows. Not empty, unless the page is.
    pub rows: Vec<T>,
    /// Whether the page has more rows, which were cut off because of their size.
    pub truncated: bool,
    /// The last key that was looked at, if there are further ones that were not.
    pub looked_to: Option<u64>,
}

impl<T> Portion<T> {
    /// A page of `rows` that left out none.
    #[must_use]
    pub const fn complete(rows: Vec<T>) -> Self {
        Self { rows, truncated: false, looked_to: None }
    }
}
