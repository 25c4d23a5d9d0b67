-- open_jobs: the next waiting or active jobs of a batch. The queue may have lost active jobs too.
--
--   ?1 batch    ?2 first job number    ?3 maximum number of jobs
--
-- The index is named, so that this never scans all finished jobs.

SELECT batch, seq, generation, first, quantity, attempts
FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work
WHERE batch = ?1 AND finished_at IS NULL AND not_before IS NULL AND seq >= ?2
ORDER BY seq
LIMIT ?3
