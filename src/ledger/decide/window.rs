//! Which batches are fed, and with how many jobs.

use std::collections::{HashMap, HashSet};

use crate::{
    domain::BatchId,
    ledger::query::{JobQuery, OpenJob},
};

/// The maximum number of batches to plan per query. Planning one may insert many jobs, which delays
/// the feeding of others.
pub(in crate::ledger) const UNPLANNED_BATCHES: u64 = 100;
/// The maximum number of hooks per query.
pub(in crate::ledger) const HOOKS: u64 = 1_000;
/// The number of batches per query that are checked for open jobs, to find those to close.
pub(in crate::ledger) const ENDS_PAGE: u64 = 1_000;
/// The maximum number of due jobs per query.
pub(in crate::ledger) const DUE_JOBS: u64 = 500;
/// The minimum number of jobs in a window, so that many tiny batches do not leave workers idle
/// between two runs of the feeder.
const MIN_JOBS: u64 = 500;

/// A batch that may be fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct Candidate {
    pub batch: BatchId,
    /// Number of its waiting and active jobs, at most [`WindowSearch::ready_limit`].
    pub ready: u64,
}

/// The batches that are fed at a time.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Window {
    pub batches: Vec<BatchId>,
    /// Whether other batches have jobs to work as well.
    pub has_more: bool,
}

/// A search for the window, among more and more candidates. Usually the first ones suffice.
#[derive(Debug)]
pub(in crate::ledger) struct WindowSearch {
    size: u64,
    /// Number of candidates of each list to consider.
    width: u64,
}

impl WindowSearch {
    /// Searches for a window of `size` batches, or more if they are tiny.
    pub(in crate::ledger) const fn of(size: u64) -> Self {
        Self { size, width: size }
    }

    /// Returns the number of candidates of each list to read: one more than are taken, which shows
    /// whether there are others.
    pub(in crate::ledger) const fn candidates(&self) -> u64 {
        self.width + 1
    }

    /// Returns the number at which counting the jobs of a candidate stops. If a quarter of the
    /// window's batches have this many, the window has enough.
    pub(in crate::ledger) const fn ready_limit(&self) -> u64 {
        MIN_JOBS.div_ceil(if self.size > 4 { self.size / 4 } else { 1 })
    }

    /// Returns the window, or `None` after widening the search if more candidates are needed. The
    /// widest search always returns one.
    pub(in crate::ledger) fn select(&mut self, oldest: &[Candidate], smallest: &[Candidate]) -> Option<Window> {
        let window = window(oldest, smallest, self.size, self.width);
        let max = max_width(self.size);
        let is_first = self.width == self.size;
        self.width = if is_first && self.size > 0 && self.size < max / 2 { self.size * 2 } else { max };
        window
    }
}

/// The width of a window of `size` batches if all of them are tiny.
const fn max_width(size: u64) -> u64 {
    if size > MIN_JOBS { size } else { MIN_JOBS }
}

/// Takes candidates from both lists in turn, until there are `size` of them with enough jobs: the
/// oldest, so that no batch waits for ever, and those with the fewest open jobs, so that small
/// batches do not wait for large ones.
///
/// Each list has up to `max + 1` candidates. `None` if these are too few, and more must be looked
/// up.
fn window(oldest: &[Candidate], smallest: &[Candidate], size: u64, max: u64) -> Option<Window> {
    let longest = oldest.len().max(smallest.len());
    let all = longest as u64 <= max;
    let mut taken = HashSet::new();
    let (mut batches, mut jobs) = (Vec::new(), 0_u64);
    let in_turn = (0..longest).flat_map(|at| [oldest.get(at), smallest.get(at)]).flatten();
    for candidate in in_turn.filter(|candidate| taken.insert(candidate.batch)) {
        if batches.len() as u64 >= size && jobs >= MIN_JOBS {
            return Some(Window { batches, has_more: true });
        }
        batches.push(candidate.batch);
        jobs = jobs.saturating_add(candidate.ready);
    }
    (all || max == max_width(size)).then_some(Window { batches, has_more: !all })
}

/// The batches of `window` to feed now, each with its first job number not yet offered.
pub(in crate::ledger) fn batches_to_feed(query: &JobQuery, window: &[BatchId]) -> Vec<(BatchId, u64)> {
    let known = window.iter().map(|batch| (*batch, query.offered_to.get(batch).copied()));
    known.filter(|(_, to)| query.refill || to.is_none()).map(|(batch, to)| (batch, to.unwrap_or(0))).collect()
}

/// How many more jobs of each batch may be queued, given how many are `queued`, the `share` of
/// each, and the `free` capacity of the queue.
pub(in crate::ledger) fn limits(queued: &[u64], share: u64, free: u64) -> Vec<u64> {
    let mut left = free;
    let limit = |queued: &u64| {
        let limit = share.saturating_sub(*queued).min(left);
        left -= limit;
        limit
    };
    queued.iter().map(limit).collect()
}

/// The limits of the batches whose jobs were looked up. One more job than the limit was looked up
/// of each, which shows whether there are more.
pub(in crate::ledger) struct Limited<'a> {
    pub batches: &'a [(BatchId, u64)],
    pub limits: &'a [u64],
}

impl Limited<'_> {
    /// Keeps as many jobs of each batch as its limit allows, in order. Also returns whether a batch
    /// has more.
    pub(in crate::ledger) fn apply(&self, jobs: Vec<OpenJob>) -> (Vec<OpenJob>, bool) {
        let mut left: HashMap<BatchId, u64> =
            self.batches.iter().map(|(id, _)| *id).zip(self.limits.iter().copied()).collect();
        let all = jobs.len();
        let is_kept = |job: &OpenJob| match left.get_mut(&job.job.batch) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        };
        let jobs: Vec<_> = jobs.into_iter().filter(is_kept).collect();
        let more = jobs.len() < all;
        (jobs, more)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{JobId, QueueCapacity, fair_priority};

    fn id(id: i64) -> BatchId {
        BatchId::new(id).unwrap()
    }

    #[test]
    fn a_search_widens_until_it_is_as_wide_as_can_be() {
        let widths = |size| {
            let mut search = WindowSearch::of(size);
            let tiny = candidates(&(1..=5_000).map(|batch| (batch, 1)).collect::<Vec<_>>());
            let mut widths = vec![search.candidates() - 1];
            loop {
                let found = &tiny[..search.candidates() as usize];
                if search.select(found, found).is_some() {
                    break widths;
                }
                widths.push(search.candidates() - 1);
            }
        };

        assert_eq!(widths(64), [64, 128, 500]);
        assert_eq!(widths(300), [300, 500]);
        assert_eq!(widths(1_000), [1_000]);
        assert_eq!((WindowSearch::of(64).ready_limit(), WindowSearch::of(2).ready_limit()), (32, 500));
    }

    #[test]
    fn jobs_beyond_a_limit_are_not_returned() {
        let job = |batch, seq| OpenJob {
            job: JobId { batch: id(batch), seq, generation: 0 },
            first: 0,
            quantity: 1,
            rank: seq,
            attempts_made: 0,
        };
        let limited = Limited { batches: &[(id(1), 0), (id(2), 0)], limits: &[2, 1] };

        assert_eq!(
            limited.apply(vec![job(1, 0), job(1, 1), job(2, 0)]),
            (vec![job(1, 0), job(1, 1), job(2, 0)], false)
        );
        assert_eq!(limited.apply(vec![job(1, 0), job(2, 0), job(2, 1)]), (vec![job(1, 0), job(2, 0)], true));
    }

    fn candidates(batches: &[(i64, u64)]) -> Vec<Candidate> {
        batches.iter().map(|(batch, open)| Candidate { batch: id(*batch), ready: *open }).collect()
    }

    #[test]
    fn a_window_takes_the_oldest_and_the_smallest_batches_in_turn() {
        let oldest = candidates(&[(1, 900), (2, 800), (3, 700), (4, 10), (5, 20)]);
        let smallest = candidates(&[(4, 10), (5, 20), (3, 700), (2, 800), (1, 900)]);
        let taken = |size| {
            let Window { batches, has_more } = window(&oldest, &smallest, size, 5).unwrap();
            (batches.into_iter().map(BatchId::get).collect::<Vec<_>>(), has_more)
        };

        assert_eq!(taken(1), (vec![1], true));
        assert_eq!(taken(2), (vec![1, 4], true));
        assert_eq!(taken(4), (vec![1, 4, 2, 5], true));
        assert_eq!(taken(5), (vec![1, 4, 2, 5, 3], false), "there are no others");
        assert_eq!(taken(64), (vec![1, 4, 2, 5, 3], false));
    }

    #[test]
    fn a_window_of_tiny_batches_has_more_of_them() {
        let tiny = candidates(&(1..=2_000).map(|batch| (batch, 1)).collect::<Vec<_>>());
        let taken = |found: usize, max| {
            let found = window(&tiny[..found], &tiny[..found], 64, max)?;
            Some((found.batches.len() as u64, found.has_more))
        };

        assert_eq!(taken(65, 64), None, "more must be looked up");
        assert_eq!(taken(64, 64), Some((64, false)), "the window has all batches");
        assert_eq!(taken(501, 500), Some((MIN_JOBS, true)));
        assert_eq!(taken(400, 500), Some((400, false)));
    }

    #[test]
    fn a_full_window_has_more_candidates() {
        let small = candidates(&(1..=125).map(|batch| (batch, 10)).collect::<Vec<_>>());

        let Window { batches, has_more } = window(&small, &small, 64, 128).unwrap();

        assert_eq!((batches.len(), has_more), (64, true));
    }

    #[test]
    fn free_capacity_goes_to_batches_below_their_share() {
        assert_eq!(limits(&[0, 4, 10, 2], 10, 100), [10, 6, 0, 8]);
        assert_eq!(limits(&[0, 4, 10, 2], 10, 12), [10, 2, 0, 0]);
        assert_eq!(limits(&[0, 4, 10, 2], 10, 0), [0; 4]);
    }

    /// The window at time `now`, as indexes into `arrivals`.
    fn fed(arrivals: &[(u64, u64)], left: &[u64], now: u64, size: u64) -> Vec<usize> {
        let oldest: Vec<usize> = (0..left.len()).filter(|at| arrivals[*at].0 <= now && left[*at] > 0).collect();
        let mut smallest = oldest.clone();
        smallest.sort_by_key(|at| (left[*at], *at));
        let ready = WindowSearch::of(size).ready_limit();
        let listed = |batches: &[usize]| -> Vec<Candidate> {
            batches.iter().map(|at| Candidate { batch: id(*at as i64 + 1), ready: left[*at].min(ready) }).collect()
        };
        let Window { batches, .. } = window(&listed(&oldest), &listed(&smallest), size, max_width(size)).unwrap();
        batches.iter().map(|batch| batch.get().unsigned_abs() as usize - 1).collect()
    }

    /// Simulates the feeder: workers take jobs by priority, and the queue is refilled as jobs end.
    /// Returns when each batch ended, counted in jobs.
    fn completions(arrivals: &[(u64, u64)], size: u64) -> Vec<u64> {
        let mut left: Vec<u64> = arrivals.iter().map(|(_, jobs)| *jobs).collect();
        let (mut offered, mut ended) = (vec![0_u64; left.len()], vec![0_u64; left.len()]);
        let mut queue: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        let (mut now, mut order) = (0, 0);
        while left.iter().any(|left| *left > 0) {
            let window = fed(arrivals, &left, now, size);
            let share = QueueCapacity { per_batch: 1_000, total: 10_000 }.share(window.len() as u64);
            let head = queue.keys().next().map_or(0, |(priority, _)| *priority);
            for at in window {
                let done = arrivals[at].1 - left[at];
                while offered[at] < arrivals[at].1 && offered[at] - done < share {
                    queue.insert((fair_priority(head, offered[at] - done), order), at);
                    (offered[at], order) = (offered[at] + 1, order + 1);
                }
            }
            // The feeder runs again after some jobs, or when a batch arrives.
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

        // If all ended at the end, the mean would be 1; one after the other, 0.5.
        assert!(mean(&ends) < 0.6 * 10_000.0, "{}", mean(&ends));
        let late = ends.iter().enumerate().map(|(at, end)| end.abs_diff(at as u64 * 10)).max();
        assert!(late < Some(2_000), "the oldest end first: {late:?}");
    }

    #[test]
    fn a_small_batch_does_not_wait_for_large_ones() {
        let mut arrivals = vec![(0, 5_000); 200];
        arrivals.push((1_000, 10));

        let ends = completions(&arrivals, 64);

        assert!(ends[200] - 1_000 < 2_500, "{}", ends[200]);
    }

    #[test]
    fn a_large_batch_ends_while_small_ones_keep_arriving() {
        // New small jobs take two thirds of the workers' time.
        let mut arrivals = vec![(0, 2_000)];
        arrivals.extend((0..600).map(|at| (at * 15, 10)));

        let ends = completions(&arrivals, 64);

        assert!(ends[0] < 9_000, "it ended at {} of {}", ends[0], ends.iter().max().unwrap());
        let waits = arrivals.iter().zip(&ends).skip(1).map(|((came, _), end)| end - came);
        assert!(waits.clone().sum::<u64>() / 600 < 1_500, "{:?}", waits.max());
    }
}
