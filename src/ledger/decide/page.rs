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
        Self { portion: Portion { rows: Vec::new(), truncated: false }, bytes: 1 }
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let Portion { rows, truncated } = page.build();
            (rows.len(), truncated)
        };

        assert_eq!(filled(&[]), (0, false));
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 10]), (2, false));
        assert_eq!(filled(&[PageRequest::MAX_BYTES - 13, 11, 3]), (1, true));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES]), (1, false));
        assert_eq!(filled(&[2 * PageRequest::MAX_BYTES, 3]), (1, true));
    }
}
