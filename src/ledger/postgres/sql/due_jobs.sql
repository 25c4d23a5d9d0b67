-- open_jobs: delayed jobs that are due, of running batches. A pending batch has no delayed jobs,
-- and a paused one keeps its own.
--
--   $1 at most so many
--
-- They come next: their turn was long ago. Looked for batch by batch, since a paused one may have
-- any number of them.

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
