//! The states of a job in the ledger.
//!
//! ```text
//!   waiting ──claim──▶ active ──finish──▶ completed | failed
//!      ▲                 │ │                           │
//!      ├─── released ────┘ └─ retry later ─▶ delayed   │
//!      └─────────────── retry | manual retry ──────────┘
//! ```

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a job in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Ready for a worker.
    Waiting,
    /// Claimed by a worker, which may have died since.
    Active,
    /// An attempt failed; the next one starts after a delay.
    Delayed,
    /// All its items exist.
    Completed,
    /// Failed permanently; a retry recreates it, a manual retry revives it.
    Failed,
    /// Cancelled together with its batch.
    Cancelled,
}

impl JobState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Active, Self::Delayed, Self::Completed, Self::Failed, Self::Cancelled];

    /// All states, those first that need attention most.
    pub const BY_ATTENTION: [Self; 6] =
        [Self::Failed, Self::Active, Self::Delayed, Self::Waiting, Self::Cancelled, Self::Completed];

    /// Whether the job is unfinished.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Active | Self::Delayed)
    }

    /// Returns the word for this state in JSON and in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the state whose [`JobState::as_str`] is `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
