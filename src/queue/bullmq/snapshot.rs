//! The state of a queue at one time: which jobs it contains, the first waiting priority, and
//! whether a worker would get a job. Reading it also claims the prefix, see claim.rs.

use std::collections::HashMap;

use bullmq::QueueKeys;
use redis::{Script, ScriptInvocation};

use super::{claim::PrefixClaim, error::BoxResult, keys::reserved_keys, round_trips::RoundTrips};
use crate::{
    domain::{BatchId, LOWEST_PRIORITY},
    queue::contract::Offer,
};

/// The script that reads the snapshot.
pub(super) struct SnapshotScript(Script);

/// The arguments of a snapshot.
pub(super) struct SnapshotQuery<'a> {
    /// The queue.
    pub keys: &'a QueueKeys,
    /// The number of starts per window of the rate limit; 0 for no limit.
    pub max_starts: u32,
    /// The latest acceptable due time of a delayed job, in milliseconds since 1970.
    pub latest_due: u64,
    /// The ids of the jobs to look up.
    pub ids: &'a [String],
}

/// The reply of the script.
pub(super) enum SnapshotReply {
    Snapshot(QueueSnapshot),
    /// A job has a reserved id.
    NeedsRepair,
    /// The prefix belongs to another ledger.
    OtherLedger,
}

/// The state of a queue at one time.
pub(super) struct QueueSnapshot {
    /// The lowest waiting priority; 0 if none is waiting.
    pub head: u64,
    /// Whether a worker would get a job now.
    pub ready: bool,
    /// The presence of the requested jobs, in the same order.
    pub jobs: Vec<JobPresence>,
}

/// Whether the queue contains a job, and in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPresence {
    Absent,
    /// Delayed or active, or waiting without a priority.
    Open,
    /// Waiting with a priority.
    Waiting {
        priority: u64,
    },
    /// Completed, failed, or delayed beyond the latest due time. Must be removed before the same id
    /// can be added.
    Obsolete,
}

impl SnapshotScript {
    pub fn new() -> Self {
        Self(Script::new(include_str!("snapshot.lua")))
    }

    /// Reads the state of a queue, and claims its prefix.
    pub async fn run(
        &self,
        round_trips: &RoundTrips,
        query: &SnapshotQuery<'_>,
        claim: &PrefixClaim,
    ) -> BoxResult<SnapshotReply> {
        Ok(Self::parse(&round_trips.script::<Vec<u64>>(&self.invocation(query, claim)).await?))
    }

    fn invocation(&self, query: &SnapshotQuery<'_>, claim: &PrefixClaim) -> ScriptInvocation<'_> {
        let SnapshotQuery { keys, max_starts, latest_due, ids } = query;
        let (reserved, types) = reserved_keys(keys);
        let mut call = self.0.prepare_invoke();
        call.key(reserved).key(claim.key());
        call.arg(keys.key_prefix()).arg(max_starts).arg(latest_due).arg(claim.ledger().unwrap_or_default());
        call.arg(types.len()).arg(types).arg(*ids);
        call
    }

    fn parse(reply: &[u64]) -> SnapshotReply {
        match *reply {
            [] => SnapshotReply::NeedsRepair,
            [_] => SnapshotReply::OtherLedger,
            [head, ready, ref codes @ ..] => {
                let jobs = codes.iter().copied().map(JobPresence::from_code).collect();
                SnapshotReply::Snapshot(QueueSnapshot { head, ready: ready == 1, jobs })
            }
        }
    }
}

impl JobPresence {
    const fn from_code(code: u64) -> Self {
        match code {
            0 => Self::Absent,
            1 => Self::Open,
            2 => Self::Obsolete,
            _ => Self::Waiting { priority: code - 2 },
        }
    }

    /// Returns whether the job is unfinished.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Waiting { .. })
    }
}

/// The virtual times from which one call of `offer` counts its priorities.
///
/// Usually this is the head of the queue in the first snapshot, so that the jobs of all pages keep
/// the distance of their ranks. If jobs of the batch are already waiting, their priorities
/// determine it instead. Another feeder may be adding the batch concurrently from another head, and
/// all jobs of a batch must be in the order of their ranks.
#[derive(Debug, Default)]
pub(super) struct VirtualTimes {
    head: Option<u64>,
    of_batch: HashMap<BatchId, u64>,
}

impl VirtualTimes {
    /// Records a snapshot of the jobs of `page`.
    pub fn record(&mut self, page: &[&Offer], snapshot: &QueueSnapshot) {
        let head = *self.head.get_or_insert(snapshot.head);
        for (offer, job) in page.iter().zip(&snapshot.jobs) {
            match *job {
                JobPresence::Waiting { priority } if priority < LOWEST_PRIORITY => {
                    // Not before jobs that are already waiting.
                    let time = priority.saturating_sub(offer.rank + 1).max(head.saturating_sub(1));
                    self.of_batch.entry(offer.task.batch()).or_insert(time);
                }
                _ => {}
            }
        }
    }

    /// Returns the virtual time of `offer`.
    pub fn of(&self, offer: &Offer) -> u64 {
        self.of_batch.get(&offer.task.batch()).copied().or(self.head).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{JobId, Task, fair_priority};

    fn offer(batch: i64, seq: u64) -> Offer {
        let job = JobId { batch: BatchId::new(batch).unwrap(), seq, generation: 0 };
        let task = Task::Generate { job, first: 0, quantity: 1 };
        Offer { task, rank: seq, delay: Duration::ZERO, attempts_made: 0 }
    }

    /// Two feeders add one batch concurrently. The second sees the jobs that the first has added.
    #[test]
    fn a_batch_that_two_feeders_add_keeps_its_order() {
        let (batch, bystander) = ([0, 1, 2].map(|seq| offer(1, seq)), offer(2, 0));
        let page = [&batch[0], &batch[1], &batch[2], &bystander];
        let waiting = [1, 2].map(|priority| JobPresence::Waiting { priority });
        let jobs = [waiting[0], waiting[1], JobPresence::Absent, JobPresence::Absent].into();
        let mut times = VirtualTimes::default();

        times.record(&page, &QueueSnapshot { head: 1, ready: true, jobs });

        assert_eq!(page.map(|offer| fair_priority(times.of(offer), offer.rank)), [1, 2, 3, 2]);
    }

    /// A retry adds an earlier job of a batch whose later jobs are waiting.
    #[test]
    fn no_priority_is_below_the_head() {
        let (earlier, later) = (offer(1, 0), offer(1, 50));
        let mut times = VirtualTimes::default();

        let jobs = [JobPresence::Absent, JobPresence::Waiting { priority: 120 }].into();
        times.record(&[&earlier, &later], &QueueSnapshot { head: 101, ready: true, jobs });

        assert_eq!(fair_priority(times.of(&earlier), 0), 101);
    }
}
