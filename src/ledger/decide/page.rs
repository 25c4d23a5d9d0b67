//! When a page is full.

use crate::ledger::query::{PageRequest, Portion};

/// Builds a [`Portion`] row by row.
#[derive(Debug)]
pub(in crate::ledger) struct PageBuilder<T> {
    portion: Portion<T>,
    bytes: usize,
}

impl<T> PageBuilder<T> {
    pub(in crate::ledger) const fn new() -> Self {
        Self { portion: Portion { rows: Vec::new(), truncated: false, looked_to: None }, bytes: 1 }
    }

    /// Adds the next row, whose JSON is `json`, if it fits.
    pub(in crate::ledger) fn push(&mut self, row: T, json: &str) {
        // The brackets and commas of the list count as well.
        self.bytes += json.len() + 1;
        if self.portion.rows.is_empty() || (self.bytes <= PageRequest::MAX_BYTES && !self.is_full()) {
            self.portion.rows.push(row);
        } else {
            self.portion.truncated = true;
        }
    }

    /// Whether a row did not fit. No row may follow it.
    pub(in crate::ledger) const fn is_full(&self) -> bool {
        self.portion.truncated
    }

    pub(in crate::ledger) fn build(self) -> Portion<T> {
        self.portion
    }
}

/// The numbers of the jobs that one page of a list looks at.
///
/// No index contains the state of a job, so a page that lists one state looks at a bounded number
/// of jobs. It may then have fewer rows than its limit, or none, although more follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) struct JobWindow {
    pub first: u64,
    pub last: u64,
    limit: u64,
}

impl JobWindow {
    /// How many jobs one page looks at.
    const MAX_JOBS: u64 = 20_000;

    pub(in crate::ledger) fn of(page: PageRequest) -> Self {
        let first = page.after.map_or(0, |after| after.saturating_add(1));
        Self { first, last: first.saturating_add(Self::MAX_JOBS - 1), limit: page.limit }
    }

    /// Adds where the list continues, in a batch of `jobs` jobs.
    pub(in crate::ledger) fn finish<T>(self, portion: Portion<T>, jobs: u64) -> Portion<T> {
        let is_whole = portion.truncated || portion.rows.len() as u64 >= self.limit;
        let looked_to = (!is_whole && self.last.saturating_add(1) < jobs).then_some(self.last);
        Portion { looked_to, ..portion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_jobs_looks_at_20000_jobs_and_continues_behind_them() {
        let looked_to = |after, rows, jobs| {
            let window = JobWindow::of(PageRequest { after, limit: 3 });
            window.finish(Portion::complete(vec![(); rows]), jobs).looked_to
        };

        assert_eq!(looked_to(None, 0, 20_000), None);
        assert_eq!(looked_to(None, 0, 20_001), Some(19_999));
        assert_eq!(looked_to(None, 2, 100_000), Some(19_999));
        assert_eq!(looked_to(None, 3, 100_000), None, "the list continues after the last row");
        assert_eq!(looked_to(Some(19_999), 0, 100_000), Some(39_999));
        assert_eq!(looked_to(Some(79_999), 0, 100_000), None);
        assert_eq!(looked_to(Some(u64::MAX), 0, 100_000), None);
    }

    #[test]
    fn a_page_ends_before_it_is_too_long_but_is_never_empty() {
        let filled = |rows: &[usize]| {
            let mut page = PageBuilder::new();
            for bytes in rows {
                page.push((), &"x".repeat(*bytes));
                if page.is_full() {
                    break;
                }
            }
            let Portion { rows, truncated, .. } = page.build();
            (rows.len(), truncated)
        };

        assert_eq!(filled(&[]), (0, false));
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 10]), (2, false));
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 11, 3]), (1, true));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES]), (1, false));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES, 3]), (1, true));
    }
}
