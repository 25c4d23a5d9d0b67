//! Whether a job may be claimed.

use std::ops::Range;

use crate::domain::{BatchStatus, Change, Delivery, Failure, JobId, JobState, is_manual_retry};

/// A job and its batch, as `claim` reads them.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct JobSnapshot {
    pub generation: u32,
    pub state: JobState,
    pub epoch: u32,
    pub range: Range<u64>,
    pub attempts: u32,
    pub crashes: u32,
    /// Finished attempts that the queue had acknowledged at the last claim. `None` if there was no
    /// claim, or if it came from an external delivery.
    pub acknowledged: Option<u32>,
    pub error: Option<String>,
    pub status: BatchStatus,
    pub history_removed: bool,
    pub prefix: Option<String>,
    pub key_fingerprint: String,
}

/// What follows from a request to claim a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum ClaimDecision {
    Unknown,
    NothingToDo,
    Failed,
    /// The job was retried manually: revive it, set its batch to this status, and decide again.
    Revive(BatchStatus),
    Busy,
    Paused,
    /// Fail the job.
    Poison {
        crashes: u32,
    },
    /// Start an attempt.
    Start {
        crashes: u32,
    },
}

impl JobSnapshot {
    /// Decides whether `delivery` may claim the job.
    pub(in crate::ledger) fn decide(&self, delivery: Delivery, max_crashes: u32) -> ClaimDecision {
        match delivery {
            Delivery::Enqueued { task: job, .. } if job.generation > self.generation => return ClaimDecision::Unknown,
            Delivery::Enqueued { task: job, .. } if job.generation < self.generation => {
                return ClaimDecision::NothingToDo;
            }
            Delivery::Enqueued { .. } | Delivery::External { .. } => {}
        }
        match self.state {
            JobState::Failed => self.decide_failed(delivery),
            JobState::Completed | JobState::Cancelled => ClaimDecision::NothingToDo,
            JobState::Waiting | JobState::Delayed | JobState::Active => self.decide_open(delivery, max_crashes),
        }
    }

    fn decide_open(&self, delivery: Delivery, max_crashes: u32) -> ClaimDecision {
        if self.status.is_finished() {
            return ClaimDecision::NothingToDo;
        }
        if self.state != JobState::Waiting && matches!(delivery, Delivery::External { .. }) {
            return ClaimDecision::Busy;
        }
        let crashes = self.crashes + u32::from(self.lost_its_worker());
        match self.status {
            BatchStatus::Paused => ClaimDecision::Paused,
            _ if crashes > max_crashes => ClaimDecision::Poison { crashes },
            _ => ClaimDecision::Start { crashes },
        }
    }

    /// Whether the job is active from the queue, whose delivery means that its worker was lost. The
    /// worker of an external delivery may still be running.
    fn lost_its_worker(&self) -> bool {
        self.state == JobState::Active && self.acknowledged.is_some()
    }

    /// A history is removed as a whole, so a job that still exists counts as removed too.
    fn decide_failed(&self, delivery: Delivery) -> ClaimDecision {
        if self.history_removed {
            return ClaimDecision::NothingToDo;
        }
        match self.status.after(Change::Retry) {
            Ok(status) if is_manual_retry(self.acknowledged, delivery.acknowledged()) => ClaimDecision::Revive(status),
            _ if self.status == BatchStatus::Cancelled => ClaimDecision::NothingToDo,
            _ => ClaimDecision::Failed,
        }
    }

    /// The delivered job, in its current generation.
    pub(in crate::ledger) const fn job(&self, delivery: Delivery) -> JobId {
        let (batch, seq) = delivery.batch_and_seq();
        JobId { batch, seq, generation: self.generation }
    }

    /// Why the job failed.
    pub(in crate::ledger) fn reason(self) -> String {
        self.error.unwrap_or_default()
    }
}

/// The failure of a job that lost its worker too often.
pub(in crate::ledger) fn poisoned(crashes: u32) -> Failure {
    Failure::because(format!("lost its worker {crashes} times without a new item"))
}

/// The gaps in `range` between the ascending ordinals `existing`.
pub(in crate::ledger) fn missing<E>(
    range: &Range<u64>,
    existing: impl IntoIterator<Item = Result<u64, E>>,
) -> Result<Vec<Range<u64>>, E> {
    let mut gaps = Vec::new();
    let mut next = range.start;
    for ordinal in existing {
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
    use crate::domain::BatchId;

    #[test]
    fn missing_items_are_the_gaps_between_the_rows() {
        let table = [
            (vec![], vec![(10, 20)]),
            (vec![10, 11], vec![(12, 20)]),
            (vec![18, 19], vec![(10, 18)]),
            (vec![12, 15], vec![(10, 12), (13, 15), (16, 20)]),
            ((10..20).collect(), vec![]),
        ];

        for (existing, expected) in table {
            let gaps = missing(&(10..20), existing.iter().map(|ordinal| Ok::<u64, ()>(*ordinal))).unwrap();
            assert_eq!(gaps.iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>(), expected, "{existing:?}");
        }
    }

    fn job(state: JobState, status: BatchStatus) -> JobSnapshot {
        JobSnapshot {
            generation: 1,
            state,
            epoch: 4,
            range: 0..100,
            attempts: 1,
            crashes: 2,
            acknowledged: Some(0),
            error: None,
            status,
            history_removed: false,
            prefix: None,
            key_fingerprint: String::new(),
        }
    }

    fn delivery(generation: u32) -> Delivery {
        let batch = BatchId::new(7).unwrap();
        Delivery::Enqueued { task: JobId { batch, seq: 0, generation }, acknowledged: 0 }
    }

    #[test]
    fn a_claim_is_decided_by_generation_state_and_status() {
        use BatchStatus::{Cancelled, Paused, Running};
        let table = [
            (job(JobState::Waiting, Running), 1, ClaimDecision::Start { crashes: 2 }),
            (job(JobState::Delayed, Running), 1, ClaimDecision::Start { crashes: 2 }),
            (job(JobState::Waiting, Running), 0, ClaimDecision::NothingToDo),
            (job(JobState::Waiting, Running), 2, ClaimDecision::Unknown),
            (job(JobState::Waiting, Paused), 1, ClaimDecision::Paused),
            (job(JobState::Completed, Running), 1, ClaimDecision::NothingToDo),
            (job(JobState::Cancelled, Cancelled), 1, ClaimDecision::NothingToDo),
            (job(JobState::Failed, Running), 1, ClaimDecision::Failed),
            (job(JobState::Failed, Cancelled), 1, ClaimDecision::NothingToDo),
            (job(JobState::Active, Running), 1, ClaimDecision::Poison { crashes: 3 }),
            (
                JobSnapshot { acknowledged: None, ..job(JobState::Active, Running) },
                1,
                ClaimDecision::Start { crashes: 2 },
            ),
            (
                JobSnapshot { history_removed: true, ..job(JobState::Failed, BatchStatus::Failed) },
                1,
                ClaimDecision::NothingToDo,
            ),
        ];

        for (job, generation, expected) in table {
            assert_eq!(job.decide(delivery(generation), 2), expected, "{job:?}");
        }
    }
}
