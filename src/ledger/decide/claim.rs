//! Whether a job may be claimed.

use std::ops::Range;

use crate::{
    domain::{BatchStatus, Change, Delivery, Failure, JobId, JobState, TraceParent, is_manual_retry},
    ledger::types::{Claim, Claimed, Work},
};

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
    pub jobs_in_batch: u64,
    pub prefix: Option<String>,
    pub key_fingerprint: String,
    pub trace: Option<TraceParent>,
}

/// What follows from a request to claim a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum ClaimDecision {
    /// Claim nothing and return this.
    Refuse(Claimed),
    /// The job was retried manually: revive it, set its batch to this status, and decide again.
    Revive(BatchStatus),
    /// Fail the job.
    Poison { crashes: u32 },
    /// Start an attempt.
    Start { crashes: u32 },
}

impl JobSnapshot {
    /// Decides whether `delivery` may claim the job.
    pub(in crate::ledger) fn decide(&self, delivery: Delivery, max_crashes: u32) -> ClaimDecision {
        match delivery {
            Delivery::Enqueued { task: job, .. } if job.generation > self.generation => {
                return ClaimDecision::Refuse(Claimed::Unknown);
            }
            Delivery::Enqueued { task: job, .. } if job.generation < self.generation => {
                return ClaimDecision::Refuse(Claimed::NothingToDo);
            }
            Delivery::Enqueued { .. } | Delivery::External { .. } => {}
        }
        match self.state {
            JobState::Failed => self.decide_failed(delivery),
            JobState::Completed | JobState::Cancelled => ClaimDecision::Refuse(Claimed::NothingToDo),
            JobState::Waiting | JobState::Delayed | JobState::Active => self.decide_open(delivery, max_crashes),
        }
    }

    fn decide_open(&self, delivery: Delivery, max_crashes: u32) -> ClaimDecision {
        if self.status.is_finished() {
            return ClaimDecision::Refuse(Claimed::NothingToDo);
        }
        if self.state != JobState::Waiting && matches!(delivery, Delivery::External { .. }) {
            return ClaimDecision::Refuse(Claimed::Busy);
        }
        let crashes = self.crashes + u32::from(self.lost_its_worker());
        match self.status {
            BatchStatus::Paused => ClaimDecision::Refuse(Claimed::Paused),
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
            return ClaimDecision::Refuse(Claimed::NothingToDo);
        }
        match self.status.after(Change::Retry) {
            Ok(status) if is_manual_retry(self.acknowledged, delivery.acknowledged()) => ClaimDecision::Revive(status),
            _ if self.status == BatchStatus::Cancelled => ClaimDecision::Refuse(Claimed::NothingToDo),
            _ => ClaimDecision::Refuse(Claimed::Failed(self.error.clone().unwrap_or_default())),
        }
    }

    /// The delivered job, in its current generation.
    pub(in crate::ledger) const fn job(&self, delivery: Delivery) -> JobId {
        let (batch, seq) = delivery.batch_and_seq();
        JobId { batch, seq, generation: self.generation }
    }

    /// The attempt that `delivery` starts, `claims` claims after this snapshot.
    pub(in crate::ledger) fn into_work(self, delivery: Delivery, claims: u32, missing: Vec<Range<u64>>) -> Work {
        Work {
            claim: Claim { job: self.job(delivery), epoch: self.epoch + claims },
            missing,
            inserted: 0,
            // Without a further claim, the active one is this call's own.
            crashed: claims > 0 && self.lost_its_worker(),
            range: self.range,
            attempts_made: self.attempts,
            jobs_in_batch: self.jobs_in_batch,
            prefix: self.prefix,
            key_fingerprint: self.key_fingerprint,
            trace: self.trace,
        }
    }
}

/// The answer for a job without a row, by whether its batch's history was removed.
pub(in crate::ledger) const fn without_row(history_removed: bool) -> Claimed {
    if history_removed { Claimed::NothingToDo } else { Claimed::Unknown }
}

/// The missing items of a job of which the first `inserted` items exist.
pub(in crate::ledger) fn missing_after(range: &Range<u64>, inserted: u64) -> Vec<Range<u64>> {
    let rest = range.start + inserted..range.end;
    if rest.is_empty() { Vec::new() } else { vec![rest] }
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
            jobs_in_batch: 1,
            prefix: None,
            key_fingerprint: String::new(),
            trace: None,
        }
    }

    fn job_id(generation: u32) -> JobId {
        JobId { batch: BatchId::new(7).unwrap(), seq: 0, generation }
    }

    fn delivery(generation: u32) -> Delivery {
        Delivery::Enqueued { task: job_id(generation), acknowledged: 0 }
    }

    fn refuse(claimed: Claimed) -> ClaimDecision {
        ClaimDecision::Refuse(claimed)
    }

    #[test]
    fn a_claim_is_decided_by_generation_state_and_status() {
        use BatchStatus::{Cancelled, Paused, Running};
        use Claimed::{NothingToDo, Unknown};
        let failed = JobSnapshot { error: Some("no ink".into()), ..job(JobState::Failed, Running) };
        let external = JobSnapshot { acknowledged: None, ..job(JobState::Active, Running) };
        let pruned = JobSnapshot { history_removed: true, ..job(JobState::Failed, BatchStatus::Failed) };
        let table = [
            (job(JobState::Waiting, Running), 1, ClaimDecision::Start { crashes: 2 }),
            (job(JobState::Delayed, Running), 1, ClaimDecision::Start { crashes: 2 }),
            (job(JobState::Waiting, Running), 0, refuse(NothingToDo)),
            (job(JobState::Waiting, Running), 2, refuse(Unknown)),
            (job(JobState::Waiting, Paused), 1, refuse(Claimed::Paused)),
            (job(JobState::Waiting, BatchStatus::Failed), 1, refuse(NothingToDo)),
            (job(JobState::Completed, Running), 1, refuse(NothingToDo)),
            (job(JobState::Cancelled, Cancelled), 1, refuse(NothingToDo)),
            (failed, 1, refuse(Claimed::Failed("no ink".into()))),
            (job(JobState::Failed, Cancelled), 1, refuse(NothingToDo)),
            (job(JobState::Active, Running), 1, ClaimDecision::Poison { crashes: 3 }),
            (external, 1, ClaimDecision::Start { crashes: 2 }),
            (pruned, 1, refuse(NothingToDo)),
        ];

        for (job, generation, expected) in table {
            assert_eq!(job.decide(delivery(generation), 2), expected, "{job:?}");
        }
    }

    #[test]
    fn a_manual_retry_revives_a_failed_job_whose_batch_may_run_again() {
        use BatchStatus::{Cancelled, Completed, Failed, Paused, Running};
        let acknowledged = |acknowledged| Delivery::Enqueued { task: job_id(1), acknowledged };
        let is_revived = |status, delivery| match job(JobState::Failed, status).decide(delivery, 2) {
            ClaimDecision::Revive(status) => Some(status),
            _ => None,
        };
        let (batch, seq) = acknowledged(0).batch_and_seq();

        for (status, expected) in [
            (Failed, Some(Running)),
            (Running, Some(Running)),
            (Paused, Some(Paused)),
            (Cancelled, None),
            (Completed, None),
        ] {
            assert_eq!(is_revived(status, acknowledged(1)), expected, "{status:?}");
            assert_eq!(is_revived(status, acknowledged(0)), None, "the queue repeats the last delivery: {status:?}");
        }
        let external = Delivery::External { batch, seq };
        assert_eq!(job(JobState::Failed, Running).decide(external, 2), refuse(Claimed::Failed(String::new())));
    }

    #[test]
    fn an_external_delivery_claims_waiting_jobs_only() {
        use BatchStatus::{Paused, Running};
        let (batch, seq) = delivery(1).batch_and_seq();
        let external = Delivery::External { batch, seq };
        let table = [
            (job(JobState::Waiting, Running), ClaimDecision::Start { crashes: 2 }),
            (job(JobState::Delayed, Running), refuse(Claimed::Busy)),
            (job(JobState::Active, Running), refuse(Claimed::Busy)),
            (job(JobState::Active, BatchStatus::Cancelled), refuse(Claimed::NothingToDo)),
            (job(JobState::Waiting, Paused), refuse(Claimed::Paused)),
            (job(JobState::Completed, Running), refuse(Claimed::NothingToDo)),
        ];

        for (job, expected) in table {
            assert_eq!(job.decide(external, 2), expected, "{job:?}");
        }
    }

    #[test]
    fn work_continues_from_the_snapshot() {
        let work = job(JobState::Waiting, BatchStatus::Running).into_work(delivery(1), 1, missing_after(&(0..100), 40));

        assert_eq!((work.claim.job, work.claim.epoch), (job_id(1), 5));
        assert_eq!(
            (work.missing.as_slice(), work.attempts_made, work.inserted),
            (std::slice::from_ref(&(40..100)), 1, 0)
        );
        assert_eq!(missing_after(&(0..100), 100), []);
        assert_eq!((without_row(true), without_row(false)), (Claimed::NothingToDo, Claimed::Unknown));
    }
}
