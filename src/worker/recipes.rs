//! A cache of what the codes of a batch are made of. With it, the first chunk of a job can be
//! inserted in the transaction of the claim.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{domain::BatchId, ledger::Work};

/// What the codes of a batch are made of, apart from the key.
///
/// It never changes for a batch. After a restore from a backup another batch may have the same id,
/// so [`Ledger::claim_and_insert`](crate::ledger::Ledger::claim_and_insert) compares it.
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

/// The recipes of batches that this process worked on recently.
#[derive(Debug, Default)]
pub(crate) struct Recipes(Mutex<HashMap<BatchId, Recipe>>);

impl Recipes {
    /// Maximum number of recipes. Beyond it the cache is cleared; the next job of a batch caches
    /// its recipe again.
    const MAX: usize = 1_000;

    pub(super) fn get(&self, batch: BatchId) -> Option<Recipe> {
        self.recipes().get(&batch).cloned()
    }

    pub(super) fn insert(&self, batch: BatchId, recipe: Recipe) {
        let mut recipes = self.recipes();
        if recipes.len() >= Self::MAX && !recipes.contains_key(&batch) {
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
    fn caches_recipes_up_to_the_maximum() {
        let recipe = Recipe { prefix: Some("QR".into()), key_fingerprint: "f00d".into() };
        let recipes = Recipes::default();

        for batch in 1..=5_000 {
            recipes.insert(BatchId::new(batch).unwrap(), recipe.clone());
        }

        assert_eq!(recipes.get(BatchId::new(5_000).unwrap()), Some(recipe));
        assert_eq!(recipes.get(BatchId::new(1).unwrap()), None);
        assert!(recipes.recipes().len() <= Recipes::MAX);
    }
}
