//! The statuses of a batch, and the changes that each status allows.
//!
//! ```text
//!   pending          ──claim───▶ running
//!   running          ──claim───▶ running      (another job)
//!   running | paused ──close───▶ completed | failed
//!   failed           ──retry───▶ running
//!   running          ──retry───▶ running
//!   paused           ──retry───▶ paused
//!   completed | failed | running ──repair──▶ running
//!   paused | pending ──repair──▶ the same
//!   pending | running          ──pause──▶ paused
//!   paused           ──resume──▶ pending      (no job was ever claimed)
//!   paused           ──resume──▶ running      (a job was claimed)
//!   pending | running | paused ──cancel─▶ cancelled
//!   pending | paused ──refuse──▶ failed       (requested by SQL, and can't be planned)
//! ```

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::invalid::Invalid;

/// The status of a batch.
//
// Exhaustive, so that a host's `match` handles every status. Another one would be a breaking change
// for callers of the HTTP API as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchStatus {
    /// Accepted; none of its jobs has been claimed yet.
    Pending,
    /// At least one job has been claimed, and the batch is not closed yet.
    Running,
    /// Paused by a caller: no job starts until the batch is resumed.
    Paused,
    /// Finished: every item exists.
    Completed,
    /// Finished with at least one failed job; the counts show how many items exist. A retry sets it
    /// to running again. A batch whose request could not be planned is failed too: it has no jobs,
    /// so there is nothing to retry.
    Failed,
    /// Cancelled by a caller. Items that exist are kept.
    Cancelled,
}

/// A change of the status of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// One of its jobs is claimed.
    Claim,
    /// Its request can't be planned.
    Refuse,
    /// A caller pauses it.
    Pause,
    /// A caller resumes it.
    Resume {
        /// Whether any of its jobs was ever claimed.
        claimed: bool,
    },
    /// A caller cancels it.
    Cancel,
    /// Its last open job finished.
    Close {
        /// Whether any of its jobs failed.
        failed: bool,
    },
    /// Its failed jobs are recreated.
    Retry,
    /// Its completed jobs with missing items are recreated.
    Repair,
}

/// The error for a change that the status of a batch does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a batch that is {status} can't be {}", change.participle())]
pub struct ChangeRefused {
    /// The current status.
    pub status: BatchStatus,
    /// The requested change.
    pub change: Change,
}

impl Change {
    const fn participle(self) -> &'static str {
        match self {
            Self::Claim => "claimed",
            Self::Refuse => "refused",
            Self::Pause => "paused",
            Self::Resume { .. } => "resumed",
            Self::Cancel => "cancelled",
            Self::Close { .. } => "closed",
            Self::Retry => "retried",
            Self::Repair => "repaired",
        }
    }
}

impl BatchStatus {
    /// All statuses, in the usual sequence.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Paused, Self::Completed, Self::Failed, Self::Cancelled];

    /// Returns the status after `change`, if the current status allows the change.
    ///
    /// # Errors
    ///
    /// [`ChangeRefused`] when it does not; the caller must then write nothing.
    pub const fn after(self, change: Change) -> Result<Self, ChangeRefused> {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
        Ok(match (self, change) {
            (Pending | Running, Change::Claim)
            | (Running | Failed, Change::Retry)
            | (Running | Completed | Failed, Change::Repair)
            | (Paused, Change::Resume { claimed: true }) => Running,
            (Pending | Running, Change::Pause) | (Paused, Change::Retry | Change::Repair) => Paused,
            (Paused, Change::Resume { claimed: false }) | (Pending, Change::Repair) => Pending,
            (Pending | Running | Paused, Change::Cancel) => Cancelled,
            (Running | Paused, Change::Close { failed: false }) => Completed,
            (Running | Paused, Change::Close { failed: true }) | (Pending | Paused, Change::Refuse) => Failed,
            (status, change) => return Err(ChangeRefused { status, change }),
        })
    }

    /// Whether the batch is finished: completed, failed or cancelled.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Returns the word for this status in JSON and in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for BatchStatus {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let unknown = || {
            let all = Self::ALL.map(Self::as_str).join(", ");
            Invalid::new("status", format!("must be one of {all}, but is {word:?}"))
        };
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(unknown)
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_every_status_and_rejects_other_words() {
        for status in BatchStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        let invalid = "Done".parse::<BatchStatus>().unwrap_err();
        let all = "pending, running, paused, completed, failed, cancelled";
        assert_eq!(invalid.to_string(), format!("`status` must be one of {all}, but is \"Done\""));
    }

    #[test]
    fn allows_exactly_the_transitions_of_the_diagram() {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Pending, Running};
        use Change::{Cancel, Claim, Close, Pause, Refuse, Resume, Retry};
        let allowed = [
            (Pending, Claim, Running),
            (Running, Claim, Running),
            (Pending, Refuse, Failed),
            (Paused, Refuse, Failed),
            (Pending, Pause, Paused),
            (Running, Pause, Paused),
            (Paused, Resume { claimed: true }, Running),
            (Paused, Resume { claimed: false }, Pending),
            (Pending, Cancel, Cancelled),
            (Running, Cancel, Cancelled),
            (Paused, Cancel, Cancelled),
            (Running, Close { failed: false }, Completed),
            (Running, Close { failed: true }, Failed),
            (Paused, Close { failed: false }, Completed),
            (Paused, Close { failed: true }, Failed),
            (Running, Retry, Running),
            (Paused, Retry, Paused),
            (Failed, Retry, Running),
        ];
        let changes = [
            Claim,
            Refuse,
            Pause,
            Resume { claimed: true },
            Resume { claimed: false },
            Cancel,
            Close { failed: true },
            Close { failed: false },
            Retry,
        ];

        for (status, change) in BatchStatus::ALL.into_iter().flat_map(|s| changes.into_iter().map(move |c| (s, c))) {
            let expected = allowed.iter().find(|(s, c, _)| (*s, *c) == (status, change)).map(|(_, _, to)| *to);
            assert_eq!(status.after(change).ok(), expected, "{status} {change:?}");
        }
    }
}
