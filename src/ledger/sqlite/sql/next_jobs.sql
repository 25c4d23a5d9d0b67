-- open_jobs: the next jobs of a batch that wait or are active, since the queue may have lost those
-- too.
--
--   ?1 batch    ?2 from this number on    ?3 at most so many
--
-- The index is named, so that this never becomes a walk over all the jobs that ended.

SELECT batch, seq, generation, first, quantity, attempts
FROM batch_jobs INDEXED BY batch_jobs_to_work
WHERE batch = ?1 AND finished_at IS NULL AND not_before IS NULL AND seq >= ?2
ORDER BY seq
LIMIT ?3
