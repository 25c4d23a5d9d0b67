//! The processes that use the ledger: which there are, and whether any of them runs jobs.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    domain::{ProcessId, WorkerRecord},
    ledger::error::Result,
};

/// How long a process is listed after its last report. It reports itself every ten seconds.
pub(in crate::ledger) const LISTED: Duration = Duration::from_secs(45);
/// The maximum number of listed processes.
pub(in crate::ledger) const LISTED_WORKERS: u64 = 1_000;
/// The age of a report after which its row is deleted.
pub(in crate::ledger) const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// The maximum number of rows deleted at a time.
pub(in crate::ledger) const FORGOTTEN_ROWS: u64 = 100;

/// What a process reports about itself. Times are ages, because the clocks of the process and of
/// the database may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerReport {
    /// The process.
    pub process: ProcessId,
    /// The name of its host.
    pub host: String,
    /// Its role, as the setting spells it.
    pub role: &'static str,
    /// The version of this crate.
    pub version: &'static str,
    /// How long ago it started.
    pub uptime: Duration,
    /// How long ago it last took a task.
    pub since_last_fetch: Option<Duration>,
    /// Number of jobs that it is working on.
    pub active_jobs: u64,
    /// Whether it waits to take over from another process.
    pub standby: bool,
    /// Its resident memory in bytes.
    pub memory_bytes: Option<u64>,
}

/// Keeps the table of processes.
#[async_trait]
pub trait WorkerRecords: Send + Sync {
    /// Stores the report of a process in place of its last one. Also deletes some rows of processes
    /// that have not reported for an hour.
    async fn report_worker(&self, report: WorkerReport) -> Result<()>;

    /// Removes a process that ends. Does nothing if there is no such process.
    async fn remove_worker(&self, process: ProcessId) -> Result<()>;

    /// Lists the processes that reported less than 45 seconds ago, the oldest first, at most 1,000.
    async fn workers(&self) -> Result<Vec<WorkerRecord>>;

    /// Whether any process runs jobs: one that is not on standby and may run jobs reported less
    /// than `span` ago, or inserted an item less than `span` ago. The latter, because the report of
    /// a busy process may be late.
    async fn has_workers(&self, span: Duration) -> Result<bool>;
}
