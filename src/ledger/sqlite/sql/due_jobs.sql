-- open_jobs: delayed jobs that are due, in running batches. A pending batch has none, and those of
-- a paused batch stay where they are.
--
--   ?1 now    ?2 maximum number of jobs
--
-- They go first, so each is the head of its own. Looks at the batches one by one, since a paused
-- batch may have any number of delayed jobs.

SELECT j.batch, j.seq, j.generation, j.first, j.quantity, j.attempts, j.seq AS head
FROM batch_batches b INDEXED BY batch_batches_by_status
CROSS JOIN batch_jobs j ON j.batch = b.id AND j.seq IN (
    SELECT seq
    FROM batch_jobs INDEXED BY batch_jobs_delayed
    WHERE batch = b.id AND not_before IS NOT NULL AND not_before <= ?1
    ORDER BY not_before
    LIMIT ?2
)
WHERE b.status = 'running'
ORDER BY j.not_before
LIMIT ?2
