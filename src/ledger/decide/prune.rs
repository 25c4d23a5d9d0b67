//! The limits of one removal of history.

use crate::ledger::types::Pruned;

/// One call of `prune_history`: removes rows batch by batch until its limit is reached.
#[derive(Debug)]
pub(in crate::ledger) struct Sweep {
    rows_left: u64,
    batches_left: u64,
    pruned: Pruned,
}

impl Sweep {
    /// Removes at most `max` rows, of at most as many batches.
    pub(in crate::ledger) const fn of(max: u64) -> Self {
        let pruned = Pruned { batches: 0, jobs: 0, hooks: 0, has_more: false };
        Self { rows_left: max, batches_left: max, pruned }
    }

    /// Whether another batch may be pruned.
    pub(in crate::ledger) const fn has_capacity(&self) -> bool {
        self.rows_left > 0 && self.batches_left > 0
    }

    /// The maximum number of rows to remove of the next batch.
    pub(in crate::ledger) const fn rows_left(&self) -> u64 {
        self.rows_left
    }

    /// Adds the rows that were removed of one batch. Returns its `history`: with fewer rows removed
    /// than allowed, none is left.
    pub(in crate::ledger) const fn add(&mut self, jobs: u64, hooks: u64) -> &'static str {
        let removed = jobs + hooks;
        let is_pruned = removed < self.rows_left;
        self.rows_left = self.rows_left.saturating_sub(removed);
        self.batches_left -= 1;
        self.pruned.batches += is_pruned as u64;
        self.pruned.jobs += jobs;
        self.pruned.hooks += hooks;
        if is_pruned { "pruned" } else { "pruning" }
    }

    /// The result, if no batch is left to prune.
    pub(in crate::ledger) const fn complete(self) -> Pruned {
        self.pruned
    }

    /// The result, if the limit was reached.
    pub(in crate::ledger) const fn interrupted(self) -> Pruned {
        Pruned { has_more: true, ..self.pruned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_ends_at_its_limit_of_rows() {
        let mut sweep = Sweep::of(10);

        assert_eq!((sweep.add(3, 1), sweep.rows_left()), ("pruned", 6));
        assert_eq!((sweep.add(6, 0), sweep.rows_left()), ("pruning", 0));
        assert!(!sweep.has_capacity());
        assert_eq!(sweep.interrupted(), Pruned { batches: 1, jobs: 9, hooks: 1, has_more: true });
    }

    #[test]
    fn a_sweep_ends_at_its_limit_of_batches() {
        let mut sweep = Sweep::of(2);

        assert_eq!((sweep.add(0, 0), sweep.has_capacity()), ("pruned", true));
        assert_eq!((sweep.add(0, 0), sweep.has_capacity()), ("pruned", false));
        assert!(!Sweep::of(0).has_capacity());
        assert_eq!(Sweep::of(3).complete(), Pruned::default());
    }
}
