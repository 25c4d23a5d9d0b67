//! A cache of the parameters of a batch's codes. With it, the first chunk of a job can be inserted
//! in the transaction of the claim.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{domain::BatchId, ledger::Work};

/// The prefix and the key fingerprint of a batch's codes.
///
/// It never changes for a batch. After a restore from a backup another batch may have the same id,
/// so [`Ledger::claim_and_insert`](crate::ledger::Ledger::claim_and_insert) compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CodeParameters {
    pub prefix: Option<String>,
    pub key_fingerprint: String,
}

impl CodeParameters {
    pub fn of(work: &Work) -> Self {
        Self { prefix: work.prefix.clone(), key_fingerprint: work.key_fingerprint.clone() }
    }
}

/// The code parameters of batches that this process worked on recently.
#[derive(Debug, Default)]
pub(crate) struct CodeParametersCache(Mutex<HashMap<BatchId, CodeParameters>>);

impl CodeParametersCache {
    /// Maximum number of batches. Beyond it the cache is cleared; the next job of a batch caches
    /// its parameters again.
    const MAX: usize = 1_000;

    pub(super) fn get(&self, batch: BatchId) -> Option<CodeParameters> {
        self.lock().get(&batch).cloned()
    }

    pub(super) fn insert(&self, batch: BatchId, parameters: CodeParameters) {
        let mut cached = self.lock();
        if cached.len() >= Self::MAX && !cached.contains_key(&batch) {
            cached.clear();
        }
        cached.insert(batch, parameters);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BatchId, CodeParameters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_parameters_up_to_the_maximum() {
        let parameters = CodeParameters { prefix: Some("QR".into()), key_fingerprint: "f00d".into() };
        let cache = CodeParametersCache::default();

        for batch in 1..=5_000 {
            cache.insert(BatchId::new(batch).unwrap(), parameters.clone());
        }

        assert_eq!(cache.get(BatchId::new(5_000).unwrap()), Some(parameters));
        assert_eq!(cache.get(BatchId::new(1).unwrap()), None);
        assert!(cache.lock().len() <= CodeParametersCache::MAX);
    }
}
