-- open_jobs: delayed jobs that are due, in running batches. A pending batch has none, and those of
-- a paused batch stay where they are.
--
--   $1 maximum number of jobs
--
-- They go first, so each is the head of its own. Looks at the batches one by one, since a paused
-- batch may have any number of delayed jobs.

SELECT b.id AS batch, j.seq, j.generation, j.first, j.quantity, j.attempts, j.seq AS head
FROM batches b
CROSS JOIN LATERAL (
    SELECT seq, generation, first, quantity, attempts, not_before
    FROM jobs
    WHERE batch = b.id AND not_before IS NOT NULL AND not_before <= now()
    ORDER BY not_before
    LIMIT $1
) j
WHERE b.status = 'running'
ORDER BY j.not_before
LIMIT $1
