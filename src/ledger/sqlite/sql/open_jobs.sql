-- open_work: the first open jobs of a batch.
--
--   ?1 batch    ?2 at most so many
--
-- The index is named, so that this never becomes a walk over all the jobs that ended.

SELECT seq, generation, first, quantity, attempts, not_before
FROM batch_jobs INDEXED BY batch_jobs_open
WHERE batch = ?1 AND state IN ('waiting', 'active', 'delayed')
ORDER BY seq
LIMIT ?2
