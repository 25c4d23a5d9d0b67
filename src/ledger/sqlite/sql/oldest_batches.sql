-- open_jobs: the batches that came first, of those that have a job to work.
--
--   ?1 at most so many    ?2 counts the jobs of each no further than this
--
-- Of one that was never begun all jobs are open. Of the others the jobs are counted themselves:
-- summaries lag behind by many jobs where jobs are short.

SELECT b.id, CASE WHEN b.status = 'pending' THEN min(b.jobs, ?2) ELSE (
    SELECT count(*) FROM (
        SELECT 1 FROM batch_jobs INDEXED BY batch_jobs_to_work
        WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
        LIMIT ?2
    )
) END AS ready
FROM batch_batches b INDEXED BY batch_batches_open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running')
  AND EXISTS (
      SELECT 1 FROM batch_jobs INDEXED BY batch_jobs_to_work WHERE batch = b.id AND finished_at IS NULL AND not_before IS NULL
  )
ORDER BY b.created_at, b.id
LIMIT ?1
