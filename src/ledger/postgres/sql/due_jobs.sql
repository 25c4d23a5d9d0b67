-- open_jobs: delayed jobs that are due, in running batches. Jobs of paused batches are not
-- returned, and pending batches have no delayed jobs.
--
--   $1 maximum number of jobs
--
-- The jobs get rank 0, so they are delivered first. Reads each batch through its index, so that the
-- delayed jobs of paused batches are not scanned.

SELECT b.id AS batch, j.seq, j.generation, j.first, j.quantity, j.attempts, 0::bigint AS rank
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
