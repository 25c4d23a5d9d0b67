//! The outcome of an attempt at a job, and the decision that follows from it.
//!
//! The ledger records the decision and the queue acts on it. Neither of them decides: [`verdict`]
//! does.

use super::{
    error_group::ErrorGroup,
    failed_chunks::{FailedChunks, WROTE_TOO_FEW, truncated},
};

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason in one sentence, truncated to 1 KiB.
    pub reason: String,
    /// The failed chunks.
    pub chunks: FailedChunks,
}

impl Failure {
    /// The longest reason that is stored, in bytes.
    #[cfg(rocket_batch_internals)]
    pub const MAX_REASON: usize = super::failed_chunks::MAX_REASON;

    /// Makes a failure of the attempt as a whole, without failed chunks.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: truncated(reason.into()), chunks: FailedChunks::default() }
    }

    /// Returns the id of the group of its reason.
    #[must_use]
    pub fn group(&self) -> String {
        ErrorGroup::of(&self.reason).id
    }
}

impl From<FailedChunks> for Failure {
    fn from(chunks: FailedChunks) -> Self {
        let error = chunks.ranges.first().map_or("", |chunk| &chunk.error);
        Self { reason: truncated(format!("{}{WROTE_TOO_FEW}{error}", chunks.items())), chunks }
    }
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every item of the job exists.
    AllInserted,
    /// Some chunks failed all their tries.
    ChunksFailed(FailedChunks),
    /// The attempt panicked, with this message.
    Panicked(String),
    /// The attempt ended with this error; the next attempt may succeed.
    Errored(String),
    /// The job can't succeed until the configuration is corrected; the text says how.
    Misconfigured(String),
    /// Another worker claimed the job.
    Fenced,
    /// The batch was cancelled.
    Cancelled,
    /// The batch was paused.
    Paused,
    /// The process is draining.
    Interrupted,
}

impl Outcome {
    /// The kind of the error, if it is one, from a small set, for `error.type` in traces.
    #[must_use]
    pub const fn error_type(&self) -> Option<&'static str> {
        match self {
            Self::ChunksFailed(_) => Some("chunks_failed"),
            Self::Panicked(_) => Some("panic"),
            Self::Errored(_) => Some("error"),
            Self::Misconfigured(_) => Some("misconfigured"),
            Self::Fenced => Some("fenced"),
            Self::AllInserted | Self::Cancelled | Self::Paused | Self::Interrupted => None,
        }
    }
}

/// The position of an attempt: the failed attempts before it, and the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Number of attempts that failed before.
    pub failed: u32,
    /// Maximum number of attempts.
    pub max: u32,
}

impl Attempt {
    /// Returns the number of this attempt, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.failed + 1
    }

    /// Whether no attempt follows if this one fails.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.number() >= self.max
    }
}

/// The decision on a job after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The job is completed.
    Completed,
    /// The job is tried again after a backoff.
    RetryLater(Failure),
    /// The job has failed.
    Failed(Failure),
    /// The job returns to the queue without a change, and the queue delivers it again.
    Released,
    /// The job is removed from the queue. Its row in the ledger is set to waiting, and the feeder
    /// offers it again when the batch is resumed.
    ReleasedUntilResumed,
    /// The job is finished, or another worker claimed it; this attempt records nothing.
    Superseded,
}

/// Decides what happens to a job after an attempt. Pure: same arguments, same result.
#[must_use]
pub fn verdict(outcome: Outcome, attempt: Attempt) -> Verdict {
    let failure = match outcome {
        Outcome::AllInserted => return Verdict::Completed,
        Outcome::Fenced | Outcome::Cancelled => return Verdict::Superseded,
        Outcome::Paused => return Verdict::ReleasedUntilResumed,
        Outcome::Interrupted => return Verdict::Released,
        Outcome::Misconfigured(reason) => return Verdict::Failed(Failure::because(reason)),
        Outcome::ChunksFailed(chunks) => Failure::from(chunks),
        Outcome::Panicked(message) => Failure::because(format!("panicked: {message}")),
        Outcome::Errored(reason) => Failure::because(reason),
    };
    if attempt.is_last() { Verdict::Failed(failure) } else { Verdict::RetryLater(failure) }
}

/// Whether a failed job that the queue delivers again was retried manually, for example with the
/// retry button of Bull Board.
///
/// Compares the queue's count of finished attempts: `before` when the failed attempt started, `now`
/// at this delivery. If the count grew, the queue had recorded the failure, so someone retried the
/// job. Otherwise the worker died before it reported the failure, and the queue repeats the
/// delivery by itself. `None`: an external delivery, which has no count.
#[must_use]
pub const fn is_manual_retry(before: Option<u32>, now: Option<u32>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if now > before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::failed_chunks::FailedChunk;

    fn attempt(number: u32) -> Attempt {
        Attempt { failed: number - 1, max: 3 }
    }

    #[test]
    fn derives_one_verdict_from_each_outcome() {
        let chunks = || FailedChunks::from_iter([FailedChunk::new(0, 49, 3, "no".into())]);
        let failed = |outcome| match verdict(outcome, attempt(3)) {
            Verdict::Failed(failure) => failure.reason,
            other => panic!("{other:?}"),
        };

        assert_eq!(verdict(Outcome::AllInserted, attempt(1)), Verdict::Completed);
        assert_eq!(verdict(Outcome::Fenced, attempt(3)), Verdict::Superseded);
        assert_eq!(verdict(Outcome::Cancelled, attempt(3)), Verdict::Superseded);
        assert_eq!(verdict(Outcome::Paused, attempt(3)), Verdict::ReleasedUntilResumed);
        assert_eq!(verdict(Outcome::Interrupted, attempt(3)), Verdict::Released);
        assert_eq!(verdict(Outcome::ChunksFailed(chunks()), attempt(2)), Verdict::RetryLater(chunks().into()));
        assert_eq!(failed(Outcome::ChunksFailed(chunks())), "50 items could not be written: no");
        assert_eq!(failed(Outcome::Panicked("boom".into())), "panicked: boom");
        assert_eq!(verdict(Outcome::Misconfigured("key".into()), attempt(1)), Verdict::Failed(Failure::because("key")));
    }

    #[test]
    fn names_the_number_of_items_and_the_first_error() {
        let chunk = |at: u64| FailedChunk::new(at * 50, at * 50 + 49, 3, at.to_string());

        let failure = Failure::from((0..5_000).map(chunk).collect::<FailedChunks>());

        assert_eq!(failure.reason, "250000 items could not be written: 0");
    }

    #[test]
    fn detects_a_manual_retry_only_after_an_recorded_failure() {
        let table = [
            (Some(2), Some(3), true),
            (Some(0), Some(9), true),
            (Some(2), Some(2), false),
            (Some(2), Some(0), false),
            (None, Some(3), false),
            (Some(2), None, false),
        ];

        for (before, now, expected) in table {
            assert_eq!(is_manual_retry(before, now), expected, "{before:?} {now:?}");
        }
    }
}
