//! What both databases decide alike: who may begin a job, where an attempt leaves it, and when a
//! page is full. Pure.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    time::Duration,
};

use super::{AttemptResult, JobQuery, OpenJob, PageRequest, Portion, RecentWork};
use crate::domain::{BatchId, BatchStatus, Change, Delivery, Failure, JobId, JobState, is_manual_retry};

/// Batches that one look plans. Each may be an insert of many jobs, and others wait to be fed.
pub(super) const UNPLANNED_BATCHES: u64 = 100;
/// Hooks that one look answers. They are quick, and the next look finds the others.
pub(super) const HOOKS: u64 = 1_000;
/// Batches that one look holds against their jobs, to find those that can be closed.
pub(super) const ENDS_PAGE: u64 = 1_000;
/// A batch whose active jobs were counted last so long ago is to be counted again.
pub(super) const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(15);
/// Batches that one look names for that.
pub(super) const LEFT_BEHIND_BATCHES: u64 = 100;
/// A row that is so much older than the one that a process writes was left behind by another
/// process.
pub(super) const OLD_AFTER: Duration = Duration::from_secs(60);
/// Such rows that go at a time.
pub(super) const OLD_ROWS: u64 = 1_000;
/// Batches that are counted at a time.
const COUNTED_BATCHES: usize = 20;
/// Jobs that are counted at a time, or those of one batch if it has more.
const COUNTED_JOBS: u64 = 100_000;
/// Delayed jobs that one look brings back.
pub(super) const DUE_JOBS: u64 = 500;

/// A batch that is to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenBatch {
    pub work: RecentWork,
    pub jobs: u64,
    /// Whether another process counted it less than [`COUNT_INTERVAL`](super::COUNT_INTERVAL) ago.
    pub counted: bool,
}

/// What is counted at a time, and the batches that another process just counted: they are to be
/// counted later.
pub(super) fn portions(open: Vec<OpenBatch>) -> (Vec<Vec<RecentWork>>, Vec<BatchId>) {
    let (counted, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|batch| batch.counted);
    let mut portions: Vec<Vec<RecentWork>> = Vec::new();
    let mut jobs = 0;
    for batch in open {
        jobs += batch.jobs;
        match portions.last_mut() {
            Some(portion) if portion.len() < COUNTED_BATCHES && jobs <= COUNTED_JOBS => portion.push(batch.work),
            _ => {
                jobs = batch.jobs;
                portions.push(vec![batch.work]);
            }
        }
    }
    (portions, counted.into_iter().map(|batch| batch.work.batch).collect())
}

/// A job as `claim` found it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub generation: u32,
    pub state: JobState,
    pub epoch: u32,
    pub range: Range<u64>,
    pub attempts: u32,
    pub crashes: u32,
    /// What the queue had acknowledged at the last begin; `None` when that was an order's, or never
    /// came.
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
    pub(super) fn entry(&self, delivery: Delivery, max_crashes: u32) -> Entry {
        match delivery {
            Delivery::Enqueued { task: job, .. } if job.generation > self.generation => return Entry::Unknown,
            Delivery::Enqueued { task: job, .. } if job.generation < self.generation => return Entry::Over,
            Delivery::Enqueued { .. } | Delivery::External { .. } => {}
        }
        match self.state {
            JobState::Failed => return self.failed(delivery),
            JobState::Completed | JobState::Cancelled => return Entry::Over,
            _ if self.status.is_over() => return Entry::Over,
            JobState::Active | JobState::Delayed if matches!(delivery, Delivery::External { .. }) => {
                return Entry::Busy;
            }
            JobState::Waiting | JobState::Delayed | JobState::Active => {}
        }
        let crashes = self.crashes + u32::from(self.was_lost());
        match self.status {
            BatchStatus::Paused => Entry::Paused,
            _ if crashes > max_crashes => Entry::Poisoned { crashes },
            _ => Entry::Free { crashes },
        }
    }

    /// Whether a worker had it that the queue gave it to. One that worked for an order may still be
    /// at it.
    fn was_lost(&self) -> bool {
        self.state == JobState::Active && self.acknowledged.is_some()
    }

    /// The history of a batch goes as a whole, so a job that is still there is of the past as well.
    fn failed(&self, delivery: Delivery) -> Entry {
        if self.history_removed {
            return Entry::Over;
        }
        match self.status.after(Change::Retry) {
            Ok(status) if is_manual_retry(self.acknowledged, delivery.acknowledged()) => Entry::Revived(status),
            _ if self.status == BatchStatus::Cancelled => Entry::Over,
            _ => Entry::Failed,
        }
    }

    /// What is called for, in the generation that there is.
    pub(super) const fn job(&self, delivery: Delivery) -> JobId {
        let (batch, seq) = delivery.batch_and_seq();
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
    pub delay: Option<Duration>,
    pub failure: Option<&'how Failure>,
}

impl<'how> After<'how> {
    pub(super) fn of(how: &'how AttemptResult) -> Self {
        let of = |state, failure: Option<&'how Failure>| Self {
            state,
            attempts_more: u32::from(failure.is_some()),
            delay: None,
            failure,
        };
        match how {
            AttemptResult::Completed => of(JobState::Completed, None),
            AttemptResult::Failed(failure) => of(JobState::Failed, Some(failure)),
            AttemptResult::GivenBack => of(JobState::Waiting, None),
            AttemptResult::Delayed { failure, delay } => {
                Self { delay: Some(*delay), ..of(JobState::Delayed, Some(failure)) }
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

/// A batch that may be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub batch: BatchId,
    /// Its jobs that wait or are active, counted no further than [`ready_limit`].
    pub ready: u64,
}

/// The batches that are fed at a time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub batches: Vec<BatchId>,
    /// Whether other batches have jobs to work as well.
    pub leaves_out: bool,
}

/// Jobs that a window has at least, so that workers don't wait for the feeder between many tiny
/// batches.
const LEAST_JOBS: u64 = 500;

/// A window of so many batches, when they are tiny.
pub(super) const fn widest(size: u64) -> u64 {
    if size > LEAST_JOBS { size } else { LEAST_JOBS }
}

/// How many candidates are looked at one after the other, until the window has enough: mostly the
/// first are.
pub(super) const fn widths(size: u64) -> [u64; 3] {
    let widest = widest(size);
    [size, if size < widest / 2 { size * 2 } else { widest }, widest]
}

/// How far the jobs of a batch are counted: when a quarter of a window of `size` batches have so
/// many, it has enough.
pub(super) const fn ready_limit(size: u64) -> u64 {
    LEAST_JOBS.div_ceil(if size > 4 { size / 4 } else { 1 })
}

/// Takes candidates from both lists in turn, until there are `size` of them with enough jobs: those
/// that came first, so that none waits for ever, and those with the fewest open jobs, so that small
/// ones don't wait for large ones.
///
/// The first `max + 1` of each list were looked up, one more than are taken, so that it shows
/// whether there are others. `None` when these are too few, and more are to be looked up.
pub(super) fn window(oldest: &[Candidate], smallest: &[Candidate], size: u64, max: u64) -> Option<Window> {
    let longest = oldest.len().max(smallest.len());
    let all = longest as u64 <= max;
    let mut taken = HashSet::new();
    let (mut batches, mut jobs) = (Vec::new(), 0_u64);
    let in_turn = (0..longest).flat_map(|at| [oldest.get(at), smallest.get(at)]).flatten();
    for candidate in in_turn.filter(|candidate| taken.insert(candidate.batch)) {
        if batches.len() as u64 >= size && jobs >= LEAST_JOBS {
            return Some(Window { batches, leaves_out: true });
        }
        batches.push(candidate.batch);
        jobs = jobs.saturating_add(candidate.ready);
    }
    (all || max == widest(size)).then_some(Window { batches, leaves_out: !all })
}

/// The batches of `window` that are to be fed now, each with the number from which on its jobs were
/// not offered yet.
pub(super) fn fed(query: &JobQuery, window: &[BatchId]) -> Vec<(BatchId, u64)> {
    let known = window.iter().map(|batch| (*batch, query.offered_to.get(batch).copied()));
    known.filter(|(_, to)| query.refill || to.is_none()).map(|(batch, to)| (batch, to.unwrap_or(0))).collect()
}

/// How many jobs of each batch may come, when so many of each may be in the queue already, and
/// there is a place for `free` more.
pub(super) fn limits(queued: &[u64], share: u64, free: u64) -> Vec<u64> {
    let mut left = free;
    let limit = |queued: &u64| {
        let limit = share.saturating_sub(*queued).min(left);
        left -= limit;
        limit
    };
    queued.iter().map(limit).collect()
}

/// Which jobs of which batches were looked for: one more than the limit of each, so that it shows
/// whether there are more.
pub(super) struct Next<'a> {
    pub batches: &'a [(BatchId, u64)],
    pub limits: &'a [u64],
}

impl Next<'_> {
    /// Keeps at most as many jobs of each batch as its limit says, in their order; says too whether
    /// a batch has more.
    pub(super) fn cut(&self, jobs: Vec<OpenJob>) -> (Vec<OpenJob>, bool) {
        let limits: HashMap<BatchId, u64> =
            self.batches.iter().map(|(id, _)| *id).zip(self.limits.iter().copied()).collect();
        let mut kept: HashMap<BatchId, u64> = HashMap::new();
        let within = |job: &OpenJob| {
            let kept = kept.entry(job.job.batch).or_default();
            *kept += 1;
            *kept <= limits[&job.job.batch]
        };
        let jobs = jobs.into_iter().filter(within).collect();
        let more = limits.iter().any(|(batch, limit)| kept.get(batch).copied().unwrap_or(0) > *limit);
        (jobs, more)
    }
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
        if self.portion.rows.is_empty() || (self.bytes <= PageRequest::MAX_BYTES && !self.is_full()) {
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{QueueCapacity, fair_priority};

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
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 10]), (2, false));
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 11, 3]), (1, true));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES]), (1, false));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES, 3]), (1, true));
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

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_portion_has_few_batches_and_few_jobs() {
        let open = |batch: usize, jobs, counted| {
            let work = RecentWork { batch: id(batch as i64 + 1), items: 0, last_item_at: None };
            OpenBatch { work, jobs, counted }
        };
        let lengths = |jobs: &[u64]| {
            let (portions, left) =
                portions(jobs.iter().enumerate().map(|(batch, jobs)| open(batch, *jobs, false)).collect());
            assert_eq!((portions.iter().map(Vec::len).sum::<usize>(), left), (jobs.len(), vec![]));
            portions.iter().map(Vec::len).collect::<Vec<_>>()
        };

        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[1; 45]), [20, 20, 5]);
        assert_eq!(lengths(&[60_000, 40_000, 1, 200_000, 5, 5]), [2, 1, 1, 2]);
        let (portions, left) = portions(vec![open(1, 9, true), open(2, 9, false), open(3, 9, true)]);
        assert_eq!((portions, left), (vec![vec![open(2, 9, false).work]], vec![id(2), id(4)]));
    }

    fn candidates(batches: &[(i64, u64)]) -> Vec<Candidate> {
        batches.iter().map(|(batch, open)| Candidate { batch: id(*batch), ready: *open }).collect()
    }

    #[test]
    fn a_window_takes_from_both_ends_until_it_has_enough() {
        let oldest = candidates(&[(1, 900), (2, 800), (3, 700), (4, 10), (5, 20)]);
        let smallest = candidates(&[(4, 10), (5, 20), (3, 700), (2, 800), (1, 900)]);
        let taken = |size| {
            let Window { batches, leaves_out } = window(&oldest, &smallest, size, 5).unwrap();
            (batches.into_iter().map(BatchId::get).collect::<Vec<_>>(), leaves_out)
        };

        assert_eq!(taken(1), (vec![1], true));
        assert_eq!(taken(2), (vec![1, 4], true));
        assert_eq!(taken(4), (vec![1, 4, 2, 5], true));
        assert_eq!(taken(5), (vec![1, 4, 2, 5, 3], false), "there is no other");
        assert_eq!(taken(64), (vec![1, 4, 2, 5, 3], false));
    }

    #[test]
    fn a_window_of_tiny_batches_has_more_of_them() {
        let tiny = candidates(&(1..=2_000).map(|batch| (batch, 1)).collect::<Vec<_>>());
        let taken = |found: usize, max| {
            let found = window(&tiny[..found], &tiny[..found], 64, max)?;
            Some((found.batches.len() as u64, found.leaves_out))
        };

        assert_eq!(taken(65, 64), None, "more are to be looked up");
        assert_eq!(taken(64, 64), Some((64, false)), "the window has all batches");
        assert_eq!(taken(501, 500), Some((LEAST_JOBS, true)));
        assert_eq!(taken(400, 500), Some((400, false)));
    }

    #[test]
    fn a_window_that_has_enough_of_all_candidates_leaves_the_others_out() {
        let small = candidates(&(1..=125).map(|batch| (batch, 10)).collect::<Vec<_>>());

        let Window { batches, leaves_out } = window(&small, &small, 64, 128).unwrap();

        assert_eq!((batches.len(), leaves_out), (64, true));
    }

    #[test]
    fn what_is_free_goes_to_those_who_have_less_than_their_share() {
        assert_eq!(limits(&[0, 4, 10, 2], 10, 100), [10, 6, 0, 8]);
        assert_eq!(limits(&[0, 4, 10, 2], 10, 12), [10, 2, 0, 0]);
        assert_eq!(limits(&[0, 4, 10, 2], 10, 0), [0; 4]);
    }

    /// The rules of the feeder, with every batch at its side: workers take jobs in the order of
    /// their priorities, and the queue is filled up again as jobs end. Answers when each batch
    /// ended, counted in jobs.
    fn completions(arrivals: &[(u64, u64)], size: u64) -> Vec<u64> {
        let mut left: Vec<u64> = arrivals.iter().map(|(_, jobs)| *jobs).collect();
        let (mut offered, mut ended) = (vec![0_u64; left.len()], vec![0_u64; left.len()]);
        let mut queue: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        let (mut now, mut order) = (0, 0);
        while left.iter().any(|left| *left > 0) {
            let came = |at: &usize| arrivals[*at].0 <= now && left[*at] > 0;
            let oldest: Vec<usize> = (0..left.len()).filter(came).collect();
            let mut smallest = oldest.clone();
            smallest.sort_by_key(|at| (left[*at], *at));
            let listed = |batches: &[usize]| -> Vec<Candidate> {
                batches
                    .iter()
                    .map(|at| Candidate { batch: id(*at as i64 + 1), ready: left[*at].min(ready_limit(size)) })
                    .collect()
            };
            let window = window(&listed(&oldest), &listed(&smallest), size, widest(size)).unwrap().batches;
            let share = QueueCapacity { per_batch: 1_000, total: 10_000 }.share(window.len() as u64);
            let head = queue.keys().next().map_or(0, |(priority, _)| *priority);
            for at in window.iter().map(|batch| batch.get() as usize - 1) {
                let done = arrivals[at].1 - left[at];
                while offered[at] < arrivals[at].1 && offered[at] - done < share {
                    queue.insert((fair_priority(head, offered[at] - done), order), at);
                    (offered[at], order) = (offered[at] + 1, order + 1);
                }
            }
            // A round follows when some of the jobs are gone, or another batch came.
            for _ in 0..20 {
                let Some((_, at)) = queue.pop_first() else { break };
                left[at] -= 1;
                now += 1;
                ended[at] = now;
            }
            now += u64::from(queue.is_empty());
        }
        ended
    }

    fn mean(ends: &[u64]) -> f64 {
        ends.iter().sum::<u64>() as f64 / ends.len() as f64
    }

    #[test]
    fn equal_batches_end_one_after_the_other() {
        let ends = completions(&[(0, 10); 1_000], 64);

        // All at the end would be a mean of 1, one after the other 0.5.
        assert!(mean(&ends) < 0.6 * 10_000.0, "{}", mean(&ends));
        let late = ends.iter().enumerate().map(|(at, end)| end.abs_diff(at as u64 * 10)).max();
        assert!(late < Some(2_000), "those that came first end first: {late:?}");
    }

    #[test]
    fn a_small_batch_waits_for_no_large_one() {
        let mut arrivals = vec![(0, 5_000); 200];
        arrivals.push((1_000, 10));

        let ends = completions(&arrivals, 64);

        assert!(ends[200] - 1_000 < 2_500, "{}", ends[200]);
    }

    #[test]
    fn a_large_batch_ends_while_small_ones_keep_coming() {
        // As many small jobs come as are worked, but for one in three.
        let mut arrivals = vec![(0, 2_000)];
        arrivals.extend((0..600).map(|at| (at * 15, 10)));

        let ends = completions(&arrivals, 64);

        assert!(ends[0] < 9_000, "it ended at {} of {}", ends[0], ends.iter().max().unwrap());
        let waits = arrivals.iter().zip(&ends).skip(1).map(|((came, _), end)| end - came);
        assert!(waits.clone().sum::<u64>() / 600 < 1_500, "{:?}", waits.max());
    }
}
