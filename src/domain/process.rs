//! The processes that share a ledger, as callers see them.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Identifies one start of a process: a random number, written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(transparent)]
pub struct ProcessId(#[schemars(with = "String", regex(pattern = "^[0-9a-f]{16}$"))] pub u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for ProcessId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A process that uses the ledger. It reports itself every ten seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Worker")]
#[non_exhaustive]
pub struct WorkerRecord {
    /// Identifies this start of the process.
    pub id: ProcessId,
    /// The name of its host.
    pub host: String,
    /// Its role: `all`, `web` or `worker`. A process with the role `web` runs no jobs.
    pub role: String,
    /// The version of this crate that it runs.
    pub version: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it last reported itself.
    pub reported_at: DateTime<Utc>,
    /// When it last took a task from a queue, as of `reported_at`; null if it never did.
    pub last_fetch_at: Option<DateTime<Utc>>,
    /// Number of jobs that it was working on at `reported_at`.
    pub active_jobs: u64,
    /// Whether it waits to take over from another process, and runs no jobs meanwhile.
    pub standby: bool,
    /// Its resident memory in bytes at `reported_at`; null if the operating system does not say.
    pub memory_bytes: Option<u64>,
}
