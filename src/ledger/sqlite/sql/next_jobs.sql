-- open_jobs: the next jobs of a batch in a state.
--
--   ?1 batch    ?2 state, waiting or active    ?3 from this number on    ?4 at most so many
--
-- The index is named, so that this never becomes a walk over all the jobs that ended.

SELECT batch, seq, generation, first, quantity, attempts
FROM batch_jobs INDEXED BY batch_jobs_ready
WHERE batch = ?1 AND state IN ('waiting', 'active') AND state = ?2 AND seq >= ?3
ORDER BY seq
LIMIT ?4
