//! What the codes of a batch are made of, remembered, so that the first chunk of a job can be
//! written when the job is claimed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{domain::BatchId, ledger::Work};

/// What the codes of a batch are made of, beside the key. It never changes, but another batch may
/// have its id after a backup was restored:
/// [`Ledger::claim_and_insert`](crate::ledger::Ledger::claim_and_insert) looks whether it still is
/// so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipe {
    pub prefix: Option<String>,
    pub key_fingerprint: String,
}

impl Recipe {
    pub fn of(work: &Work) -> Self {
        Self { prefix: work.prefix.clone(), key_fingerprint: work.key_fingerprint.clone() }
    }
}

/// The recipes of batches that were worked here lately.
#[derive(Debug, Default)]
pub(crate) struct Recipes(Mutex<HashMap<BatchId, Recipe>>);

impl Recipes {
    /// With more, all are forgotten: each comes back with the next job of its batch.
    const MOST: usize = 1_000;

    pub(super) fn of(&self, batch: BatchId) -> Option<Recipe> {
        self.recipes().get(&batch).cloned()
    }

    pub(super) fn remember(&self, batch: BatchId, recipe: Recipe) {
        let mut recipes = self.recipes();
        if recipes.len() >= Self::MOST && !recipes.contains_key(&batch) {
            recipes.clear();
        }
        recipes.insert(batch, recipe);
    }

    fn recipes(&self) -> MutexGuard<'_, HashMap<BatchId, Recipe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_remembered_and_do_not_grow_without_a_bound() {
        let recipe = Recipe { prefix: Some("QR".into()), key_fingerprint: "f00d".into() };
        let recipes = Recipes::default();

        for batch in 1..=5_000 {
            recipes.remember(BatchId::new(batch).unwrap(), recipe.clone());
        }

        assert_eq!(recipes.of(BatchId::new(5_000).unwrap()), Some(recipe));
        assert_eq!(recipes.of(BatchId::new(1).unwrap()), None);
        assert!(recipes.recipes().len() <= Recipes::MOST);
    }
}
