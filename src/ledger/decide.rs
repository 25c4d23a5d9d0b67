//! What both databases decide alike: who may begin a job, where an attempt leaves it, and when a page is full. Pure.

use std::ops::Range;

use chrono::{DateTime, Utc};

use super::{Portion, Settlement, Slice};
use crate::domain::{BatchStatus, Call, Change, Failure, JobId, JobState, put_back_by_hand};

/// A job as `begin` found it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub generation: u32,
    pub state: JobState,
    pub epoch: u32,
    pub range: Range<u64>,
    pub attempts: u32,
    pub crashes: u32,
    /// What the queue had acknowledged at the last begin; `None` when that was an order's, or never came.
    pub acknowledged: Option<u32>,
    pub error: Option<String>,
    pub status: BatchStatus,
    pub history_removed: bool,
    pub prefix: Option<String>,
    pub key_fingerprint: String,
}

/// What to answer whoever wants to begin a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Unknown,
    Over,
    Failed,
    /// Put back by hand: revive it, with its batch in this status, and ask again.
    Revived(BatchStatus),
    Busy,
    Paused,
    Poisoned {
        crashes: u32,
    },
    Free {
        crashes: u32,
    },
}

impl Found {
    pub(super) fn entry(&self, call: Call, max_crashes: u32) -> Entry {
        match call {
            Call::Offered { job, .. } if job.generation > self.generation => return Entry::Unknown,
            Call::Offered { job, .. } if job.generation < self.generation => return Entry::Over,
            Call::Offered { .. } | Call::Ordered { .. } => {}
        }
        match self.state {
            JobState::Failed => return self.failed(call),
            JobState::Completed | JobState::Cancelled => return Entry::Over,
            _ if self.status.is_over() => return Entry::Over,
            JobState::Active | JobState::Delayed if matches!(call, Call::Ordered { .. }) => return Entry::Busy,
            JobState::Waiting | JobState::Delayed | JobState::Active => {}
        }
        let crashes = self.crashes + u32::from(self.was_lost());
        match self.status {
            BatchStatus::Paused => Entry::Paused,
            _ if crashes > max_crashes => Entry::Poisoned { crashes },
            _ => Entry::Free { crashes },
        }
    }

    /// Whether a worker had it that the queue gave it to. One that worked for an order may still be at it.
    fn was_lost(&self) -> bool {
        self.state == JobState::Active && self.acknowledged.is_some()
    }

    /// The history of a batch goes as a whole, so a job that is still there is of the past as well.
    fn failed(&self, call: Call) -> Entry {
        if self.history_removed {
            return Entry::Over;
        }
        match self.status.after(Change::Retry) {
            Ok(status) if put_back_by_hand(self.acknowledged, call.acknowledged()) => Entry::Revived(status),
            _ if self.status == BatchStatus::Cancelled => Entry::Over,
            _ => Entry::Failed,
        }
    }

    /// What is called for, in the generation that there is.
    pub(super) const fn job(&self, call: Call) -> JobId {
        let (batch, seq) = call.place();
        JobId { batch, seq, generation: self.generation }
    }

    /// Why it failed.
    pub(super) fn reason(self) -> String {
        self.error.unwrap_or_default()
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

/// A [`Portion`] that is being read, row by row.
#[derive(Debug)]
pub(super) struct Filling<T> {
    portion: Portion<T>,
    bytes: usize,
}

impl<T> Filling<T> {
    pub(super) const fn new() -> Self {
        Self { portion: Portion { rows: Vec::new(), left_out: false }, bytes: 1 }
    }

    /// Takes the next row, which is so long as JSON, if there is room for it.
    pub(super) fn take(&mut self, row: T, json: &str) {
        // The brackets and commas of the list count as well.
        self.bytes += json.len() + 1;
        if self.portion.rows.is_empty() || (self.bytes <= Slice::MAX_BYTES && !self.is_full()) {
            self.portion.rows.push(row);
        } else {
            self.portion.left_out = true;
        }
    }

    /// Whether a row found no room, so that none may follow it.
    pub(super) const fn is_full(&self) -> bool {
        self.portion.left_out
    }

    pub(super) fn portion(self) -> Portion<T> {
        self.portion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_full_before_it_is_too_long_but_never_empty() {
        let filled = |rows: &[usize]| {
            let mut filling = Filling::new();
            for bytes in rows {
                filling.take((), &"x".repeat(*bytes));
                if filling.is_full() {
                    break;
                }
            }
            let Portion { rows, left_out } = filling.portion();
            (rows.len(), left_out)
        };

        assert_eq!(filled(&[]), (0, false));
        assert_eq!(filled(&[Slice::MAX_BYTES - 13, 10]), (2, false));
        assert_eq!(filled(&[Slice::MAX_BYTES - 13, 11, 3]), (1, true));
        assert_eq!(filled(&[2 * Slice::MAX_BYTES]), (1, false));
        assert_eq!(filled(&[2 * Slice::MAX_BYTES, 3]), (1, true));
    }

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
