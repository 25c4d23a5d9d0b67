//! What both databases decide alike: who may begin a job, and where an attempt leaves it. Pure.

use std::ops::Range;

use chrono::{DateTime, Utc};

use super::Settlement;
use crate::domain::{BatchStatus, Failure, JobState};

/// A job as `begin` found it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub generation: u32,
    pub state: JobState,
    pub epoch: u32,
    pub range: Range<u64>,
    pub attempts: u32,
    pub crashes: u32,
    pub status: BatchStatus,
    pub prefix: Option<String>,
    pub key_fingerprint: String,
}

/// What to answer whoever wants to begin a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Unknown,
    Over,
    Paused,
    Poisoned { crashes: u32 },
    Free { crashes: u32 },
}

impl Found {
    pub(super) fn entry(&self, generation: u32, max_crashes: u32) -> Entry {
        if generation > self.generation {
            return Entry::Unknown;
        }
        if generation < self.generation || self.status.is_over() {
            return Entry::Over;
        }
        let crashes = match self.state {
            JobState::Completed | JobState::Failed | JobState::Cancelled => return Entry::Over,
            JobState::Waiting | JobState::Delayed => self.crashes,
            JobState::Active => self.crashes + 1,
        };
        match self.status {
            BatchStatus::Paused => Entry::Paused,
            _ if crashes > max_crashes => Entry::Poisoned { crashes },
            _ => Entry::Free { crashes },
        }
    }
}

/// Why a job is failed that lost its worker too often.
pub(super) fn poisoned(crashes: u32) -> Failure {
    Failure::because(format!("lost its worker {crashes} times without a new item"))
}

/// The job after an attempt.
#[derive(Debug)]
pub(super) struct After<'how> {
    pub state: JobState,
    pub attempts_more: u32,
    pub not_before: Option<DateTime<Utc>>,
    pub failure: Option<&'how Failure>,
}

impl<'how> After<'how> {
    pub(super) fn of(how: &'how Settlement) -> Self {
        let of = |state, failure: Option<&'how Failure>| Self {
            state,
            attempts_more: u32::from(failure.is_some()),
            not_before: None,
            failure,
        };
        match how {
            Settlement::Completed => of(JobState::Completed, None),
            Settlement::Failed(failure) => of(JobState::Failed, Some(failure)),
            Settlement::GivenBack => of(JobState::Waiting, None),
            Settlement::Delayed { failure, not_before } => {
                Self { not_before: Some(*not_before), ..of(JobState::Delayed, Some(failure)) }
            }
        }
    }
}

/// The gaps that `there`, in order, leaves in `range`.
pub(super) fn missing<E>(
    range: &Range<u64>,
    there: impl IntoIterator<Item = Result<u64, E>>,
) -> Result<Vec<Range<u64>>, E> {
    let mut gaps = Vec::new();
    let mut next = range.start;
    for ordinal in there {
        let ordinal = ordinal?;
        gaps.extend((next < ordinal).then_some(next..ordinal));
        next = ordinal + 1;
    }
    gaps.extend((next < range.end).then_some(next..range.end));
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_items_are_the_gaps_between_the_rows() {
        let table = [
            (vec![], vec![(10, 20)]),
            (vec![10, 11], vec![(12, 20)]),
            (vec![18, 19], vec![(10, 18)]),
            (vec![12, 15], vec![(10, 12), (13, 15), (16, 20)]),
            ((10..20).collect(), vec![]),
        ];

        for (there, expected) in table {
            let gaps = missing(&(10..20), there.iter().map(|ordinal| Ok::<u64, ()>(*ordinal))).unwrap();
            assert_eq!(gaps.iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), expected, "{there:?}");
        }
    }
}
