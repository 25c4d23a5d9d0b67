//! Whether a chunk may be inserted.

use std::ops::Range;

use crate::ledger::{
    error::LedgerError,
    types::{ChunkInserted, NewItem},
};

/// What decides whether a chunk of a job may be inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct ChunkGate {
    pub is_cancelled: bool,
    /// Whether the claim is current.
    pub is_current: bool,
    pub is_paused: bool,
    /// The ordinals of the job.
    pub range: Range<u64>,
}

impl ChunkGate {
    /// Why nothing may be inserted; `None` if it may.
    pub(in crate::ledger) const fn refusal(&self) -> Option<ChunkInserted> {
        match self {
            Self { is_cancelled: true, .. } => Some(ChunkInserted::Cancelled),
            Self { is_current: false, .. } => Some(ChunkInserted::Fenced),
            Self { is_paused: true, .. } => Some(ChunkInserted::Paused),
            Self { is_cancelled: false, is_current: true, is_paused: false, .. } => None,
        }
    }

    /// Rejects items of another job, which would be counted for this one.
    pub(in crate::ledger) fn check_range(&self, items: &[NewItem]) -> Result<(), LedgerError> {
        let Some(stray) = items.iter().find(|item| !self.range.contains(&item.ordinal)) else { return Ok(()) };
        let (ordinal, first, last) = (stray.ordinal, self.range.start, self.range.end.saturating_sub(1));
        Err(LedgerError::Rejected { why: format!("item {ordinal} is outside the job, which has {first} to {last}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: ChunkGate = ChunkGate { is_cancelled: false, is_current: true, is_paused: false, range: 100..200 };

    #[test]
    fn a_chunk_is_refused_for_the_most_lasting_reason() {
        let table = [
            (OPEN, None),
            (ChunkGate { is_paused: true, ..OPEN }, Some(ChunkInserted::Paused)),
            (ChunkGate { is_paused: true, is_current: false, ..OPEN }, Some(ChunkInserted::Fenced)),
            (ChunkGate { is_cancelled: true, is_current: false, ..OPEN }, Some(ChunkInserted::Cancelled)),
        ];

        for (gate, expected) in table {
            assert_eq!(gate.refusal(), expected, "{gate:?}");
        }
    }

    #[test]
    fn only_items_of_the_job_are_accepted() {
        let item = |ordinal| NewItem { ordinal, code: String::new() };

        assert!(OPEN.check_range(&[item(100), item(199)]).is_ok());
        for stray in [99, 200] {
            let rejected = OPEN.check_range(&[item(150), item(stray)]).unwrap_err().to_string();
            assert!(
                rejected.ends_with(&format!("item {stray} is outside the job, which has 100 to 199")),
                "{rejected}"
            );
        }
    }
}
