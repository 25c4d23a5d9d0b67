-- open_jobs: the oldest batches that have a waiting or active job.
--
--   ?1 maximum number of batches    ?2 stop counting the jobs of a batch at this number
--
-- All jobs of a pending batch are open. For other batches the jobs are counted, because summaries
-- lag many jobs behind when jobs are short.

SELECT b.id, CASE WHEN b.status = 'pending' THEN min(b.jobs, ?2) ELSE (
    SELECT count(*) FROM (
        SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work
        WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
        LIMIT ?2
    )
) END AS ready
FROM rocket_batch_batches b INDEXED BY rocket_batch_batches_open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running')
  AND EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work WHERE batch = b.id AND finished_at IS NULL
          AND not_before IS NULL
  )
ORDER BY b.created_at, b.id
LIMIT ?1
