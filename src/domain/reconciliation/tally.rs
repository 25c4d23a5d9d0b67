//! The pages of a check, added up in bounded memory.

use std::ops::Range;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    page::ItemPage,
    report::{CheckState, CodeCheck, OrdinalRange, Reconciliation, WrongCode},
};
use crate::domain::{batch::BatchId, code::CodeScheme, job::JobState};

/// The maximum number of entries in each list.
const MAX_LISTED: usize = 1_000;

/// The result of the pages so far. The ledger stores it, so that another process can continue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Where the next page starts; `None` once the check has finished.
    pub next: Option<u64>,
    checked: u64,
    planned: u64,
    written: u64,
    failed_chunks: u64,
    to_do: u64,
    cancelled: u64,
    codes: CodeCheck,
    gaps: Ranges,
    strangers: Ranges,
    wrong_codes: Vec<WrongCode>,
    wrong_codes_found: u64,
}

impl Tally {
    /// The tally before the first page.
    #[must_use]
    pub fn start() -> Self {
        Self { next: Some(0), ..Self::default() }
    }

    /// Whether all pages were added.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.next.is_none()
    }

    /// Returns how many items were read.
    #[must_use]
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// Adds the next page. Compares the codes that it has with those of `scheme`.
    pub fn add(&mut self, page: &ItemPage, scheme: &CodeScheme) {
        self.planned = page.quantity;
        self.checked += page.items.len() as u64;
        self.next = page.next;
        if page.range.start < page.quantity {
            self.add_planned(page);
        } else {
            page.items.iter().for_each(|(ordinal, _)| self.strangers.push(*ordinal..*ordinal + 1));
        }
        self.check_codes(page, scheme);
    }

    fn add_planned(&mut self, page: &ItemPage) {
        let mut ordinals = page.items.iter().map(|(ordinal, _)| *ordinal).peekable();
        for (span, state) in page.spans() {
            let mut next = span.start;
            while let Some(ordinal) = ordinals.next_if(|ordinal| *ordinal < span.end) {
                self.add_missing(next..ordinal, state);
                self.written += 1;
                next = ordinal + 1;
            }
            self.add_missing(next..span.end, state);
        }
    }

    fn add_missing(&mut self, range: Range<u64>, state: JobState) {
        let items = range.end - range.start;
        match state {
            JobState::Waiting | JobState::Active | JobState::Delayed => self.to_do += items,
            JobState::Failed => self.failed_chunks += items,
            JobState::Cancelled => self.cancelled += items,
            JobState::Completed => self.gaps.push(range),
        }
    }

    fn check_codes(&mut self, page: &ItemPage, scheme: &CodeScheme) {
        if page.items.iter().all(|(_, code)| code.is_none()) {
            return;
        }
        if page.key_fingerprint.as_deref() != Some(scheme.fingerprint()) {
            self.codes = CodeCheck::OtherKey;
            return;
        }
        self.codes = CodeCheck::Checked;
        for (ordinal, code) in &page.items {
            let expected = scheme.encode(page.prefix.as_deref(), page.batch, *ordinal);
            if let Some(code) = code.as_ref().filter(|code| **code != expected) {
                self.wrong_codes_found += 1;
                if self.wrong_codes.len() < MAX_LISTED {
                    self.wrong_codes.push(WrongCode { ordinal: *ordinal, code: code.clone(), expected });
                }
            }
        }
    }

    /// Makes the report of a check of `batch`.
    #[must_use]
    pub fn report(
        self,
        batch_id: BatchId,
        started_at: DateTime<Utc>,
        checked_at: Option<DateTime<Utc>>,
    ) -> Reconciliation {
        Reconciliation {
            batch_id,
            state: if self.is_finished() { CheckState::Finished } else { CheckState::Running },
            started_at,
            checked_at,
            checked_items: self.checked,
            codes: self.codes,
            planned: self.planned,
            written: self.written,
            failed_chunks: self.failed_chunks,
            to_do: self.to_do,
            cancelled: self.cancelled,
            missing: self.gaps.items,
            gaps_found: self.gaps.found,
            gaps_truncated: self.gaps.is_truncated(),
            gaps: self.gaps.listed,
            strangers_found: self.strangers.items,
            strangers_truncated: self.strangers.is_truncated(),
            strangers: self.strangers.listed,
            wrong_codes_truncated: self.wrong_codes_found > self.wrong_codes.len() as u64,
            wrong_codes_found: self.wrong_codes_found,
            wrong_codes: self.wrong_codes,
        }
    }
}

/// Ascending ranges: the first ones, and how many there are. Touching ranges are one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ranges {
    listed: Vec<OrdinalRange>,
    /// Number of ranges.
    found: u64,
    /// Number of ordinals in them.
    items: u64,
    /// The end of the last range.
    end: Option<u64>,
}

impl Ranges {
    fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let continues = self.end.replace(range.end) == Some(range.start);
        self.items += range.end - range.start;
        if !continues {
            self.found += 1;
            if self.listed.len() < MAX_LISTED {
                self.listed.push(OrdinalRange { from: range.start, to: range.end - 1 });
            }
        } else if self.found == self.listed.len() as u64
            && let Some(last) = self.listed.last_mut()
        {
            last.to = range.end - 1;
        }
    }

    const fn is_truncated(&self) -> bool {
        self.found > self.listed.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        batch::{BatchStatus, Plan},
        code::CodeKey,
        reconciliation::JobSpan,
    };

    const STATES: [JobState; 6] = JobState::ALL;

    fn scheme() -> CodeScheme {
        CodeScheme::new(&CodeKey::from_bytes([7; 16]))
    }

    /// A check in pages of `size` of a batch in jobs of 10 with these items and states of jobs.
    fn checked(quantity: u64, items: &BTreeSet<u64>, states: &[JobState], size: u64) -> Reconciliation {
        let batch = BatchId::new(7).unwrap();
        let plan = Plan::of_stored(quantity, 10, quantity.div_ceil(10));
        let mut tally = Tally::start();
        while let Some(from) = tally.next {
            let range = if from < quantity { from..(from + size).min(quantity) } else { from..u64::MAX };
            let found: Vec<_> = items.range(range.clone()).map(|ordinal| (*ordinal, None)).collect();
            let next = (range.end != u64::MAX).then_some(range.end);
            let jobs = states.iter().enumerate().map(|(seq, state)| JobSpan { seq: seq as u64, state: *state });
            let page = ItemPage {
                batch,
                status: BatchStatus::Running,
                quantity,
                plan: Some(plan),
                prefix: None,
                key_fingerprint: None,
                range,
                items: found,
                jobs: jobs.collect(),
                next,
            };
            tally.add(&page, &scheme());
        }
        tally.report(batch, DateTime::UNIX_EPOCH, None)
    }

    /// The ordinals of a list of ranges.
    fn ordinals(ranges: &[OrdinalRange]) -> Vec<u64> {
        ranges.iter().flat_map(|range| range.from..=range.to).collect()
    }

    proptest! {
        #[test]
        fn every_deleted_item_is_found_and_the_terms_add_up(
            quantity in 1_u64..300, size in 1_u64..50, gone in prop::collection::btree_set(0_u64..300, 0..60),
            strange in prop::collection::btree_set(0_u64..50, 0..10), kinds in prop::collection::vec(0_usize..6, 30),
        ) {
            let states: Vec<_> = kinds.iter().map(|kind| STATES[*kind]).collect();
            let items = (0..quantity).filter(|at| !gone.contains(at)).chain(strange.iter().map(|at| quantity + at));
            let report = checked(quantity, &items.collect(), &states, size);

            let is_gap = |at: &u64| *at < quantity && states[(*at / 10) as usize] == JobState::Completed;
            let gaps: Vec<_> = gone.iter().copied().filter(is_gap).collect();
            prop_assert_eq!(ordinals(&report.gaps), gaps.clone());
            prop_assert_eq!(report.missing, gaps.len() as u64);
            prop_assert_eq!(ordinals(&report.strangers), strange.iter().map(|at| quantity + at).collect::<Vec<_>>());
            let terms = report.written + report.failed_chunks + report.to_do + report.cancelled + report.missing;
            prop_assert_eq!((terms, report.planned), (quantity, quantity));
            let touching = report.gaps.windows(2).any(|pair| pair[0].to + 1 == pair[1].from);
            prop_assert!(!touching);
        }
    }

    #[test]
    fn lists_are_bounded_and_totals_are_exact() {
        let quantity = 5_000;
        let items: BTreeSet<u64> = (0..quantity).filter(|at| at % 2 == 0).collect();

        let report = checked(quantity, &items, &[JobState::Completed; 500], 1_000);

        assert_eq!((report.gaps.len(), report.gaps_found, report.missing), (1_000, 2_500, 2_500));
        assert!(report.gaps_truncated && !report.strangers_truncated);
        assert_eq!(report.gaps[999], OrdinalRange { from: 1_999, to: 1_999 });
    }
}
