//! One look at a queue: who is where, who is first in line, and whether a worker would get a task
//! now.

use std::collections::HashMap;

use bullmq::QueueKeys;
use redis::{Script, ScriptInvocation};

use super::{repair::own_keys, server::BoxError};
use crate::{
    domain::{BatchId, LOWEST_PRIORITY},
    queue::Offer,
};

/// The script of the look.
pub(super) struct SnapshotScript(Script);

/// What is asked.
pub(super) struct SnapshotQuery<'a> {
    /// Of which queue.
    pub keys: &'a QueueKeys,
    /// Starts in a window of its rate limit; 0 for no limit.
    pub max: u32,
    /// When a delayed job of ours may be due at the latest, in milliseconds since 1970.
    pub latest: u64,
    /// The jobs.
    pub ids: &'a [String],
}

/// What was seen.
pub(super) struct QueueSnapshot {
    /// The lowest priority that waits; 0 when none does.
    pub head: u64,
    /// Whether a worker that asked would get a task.
    pub ready: bool,
    /// Where the jobs are, in the order in which they were asked for.
    pub states: Vec<JobPlace>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPlace {
    Absent,
    /// Delayed or active, or waiting before all that have a priority.
    Open,
    /// Waiting.
    Waiting {
        priority: u64,
    },
    /// Completed or failed, and kept; or where no worker gets to see it in time. Its id is taken.
    Over,
}

impl SnapshotScript {
    pub fn new() -> Self {
        Self(Script::new(include_str!("snapshot.lua")))
    }

    /// The call that answers `question`.
    pub fn at(&self, question: &SnapshotQuery<'_>) -> ScriptInvocation<'_> {
        let SnapshotQuery { keys, max, latest, ids } = question;
        let (own, types) = own_keys(keys);
        let mut call = self.0.prepare_invoke();
        call.key(own).arg(keys.key_prefix()).arg(max).arg(latest).arg(types.len()).arg(types).arg(*ids);
        call
    }

    /// What the call answered: nothing, when the queue has to be mended first.
    pub fn read(answer: Vec<u64>) -> Result<Option<QueueSnapshot>, BoxError> {
        match answer[..] {
            [] => Ok(None),
            [head, ready, ref states @ ..] => {
                let states = states.iter().copied().map(JobPlace::of).collect();
                Ok(Some(QueueSnapshot { head, ready: ready == 1, states }))
            }
            _ => Err("Redis answered a question about jobs with less than was asked".into()),
        }
    }
}

impl JobPlace {
    const fn of(state: u64) -> Self {
        match state {
            0 => Self::Absent,
            1 => Self::Open,
            2 => Self::Over,
            more => Self::Waiting { priority: more - 2 },
        }
    }

    /// Whether it is to be worked or is being worked.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Waiting { .. })
    }
}

/// From where on the priorities of one call of `offer` are counted.
///
/// Usually from the head of the queue, as the first page saw it, so that all pages keep the
/// distance of their ranks. But jobs of a batch that wait already say where it stands: another
/// feeder may be adding it at the same time and have seen another head, and all of its jobs are to
/// be in the order of their ranks.
#[derive(Debug, Default)]
pub(super) struct Times {
    head: Option<u64>,
    of_batch: HashMap<BatchId, u64>,
}

impl Times {
    /// Notes what a look at the jobs of `page` says.
    pub fn note(&mut self, page: &[&Offer], look: &QueueSnapshot) {
        let head = *self.head.get_or_insert(look.head);
        for (offer, place) in page.iter().zip(&look.states) {
            match *place {
                JobPlace::Waiting { priority } if priority < LOWEST_PRIORITY => {
                    // Never before those who wait already.
                    let time = priority.saturating_sub(offer.rank + 1).max(head.saturating_sub(1));
                    self.of_batch.entry(offer.task.batch()).or_insert(time);
                }
                _ => {}
            }
        }
    }

    /// The virtual time at which `offer` comes.
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

    /// Two feeders add one batch at once; the second sees what the first has added so far.
    #[test]
    fn a_batch_keeps_its_order_whoever_adds_it() {
        let (batch, bystander) = ([0, 1, 2].map(|seq| offer(1, seq)), offer(2, 0));
        let page = [&batch[0], &batch[1], &batch[2], &bystander];
        let waiting = [1, 2].map(|priority| JobPlace::Waiting { priority });
        let states = [waiting[0], waiting[1], JobPlace::Absent, JobPlace::Absent].into();
        let mut times = Times::default();

        times.note(&page, &QueueSnapshot { head: 1, ready: true, states });

        assert_eq!(page.map(|offer| fair_priority(times.of(offer), offer.rank)), [1, 2, 3, 2]);
    }

    /// A retry brings an earlier job of a batch whose later ones wait.
    #[test]
    fn nobody_is_put_before_the_head() {
        let (earlier, later) = (offer(1, 0), offer(1, 50));
        let mut times = Times::default();

        let states = [JobPlace::Absent, JobPlace::Waiting { priority: 120 }].into();
        times.note(&[&earlier, &later], &QueueSnapshot { head: 101, ready: true, states });

        assert_eq!(fair_priority(times.of(&earlier), 0), 101);
    }
}
