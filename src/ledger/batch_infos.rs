//! A cache of the facts about batches that item writers receive, so that a chunk needs no statement
//! for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::types::BatchInfo;
use crate::domain::BatchId;

/// The batches that item writers were called for recently. Nothing in a [`BatchInfo`] ever changes.
#[derive(Debug, Default)]
pub(super) struct BatchInfos(Mutex<HashMap<BatchId, Arc<BatchInfo>>>);

impl BatchInfos {
    /// Maximum number of batches. Beyond it the cache is cleared; the next chunk of a batch reads
    /// it again.
    const MAX: usize = 1_000;

    pub(super) fn get(&self, batch: BatchId) -> Option<Arc<BatchInfo>> {
        self.infos().get(&batch).cloned()
    }

    pub(super) fn insert(&self, info: BatchInfo) -> Arc<BatchInfo> {
        let info = Arc::new(info);
        let mut infos = self.infos();
        if infos.len() >= Self::MAX && !infos.contains_key(&info.batch_id) {
            infos.clear();
        }
        infos.insert(info.batch_id, Arc::clone(&info));
        info
    }

    fn infos(&self) -> MutexGuard<'_, HashMap<BatchId, Arc<BatchInfo>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ItemOptions;

    #[test]
    fn caches_batches_up_to_the_maximum() {
        let infos = BatchInfos::default();
        let id = |id| BatchId::new(id).unwrap();

        for batch in 1..=5_000 {
            infos.insert(BatchInfo { batch_id: id(batch), quantity: 7, options: ItemOptions::default() });
        }

        assert_eq!(infos.get(id(5_000)).map(|info| info.batch_id), Some(id(5_000)));
        assert_eq!(infos.get(id(1)), None);
        assert!(infos.infos().len() <= BatchInfos::MAX);
    }
}
