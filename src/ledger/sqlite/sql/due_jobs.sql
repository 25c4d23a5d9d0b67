-- open_jobs: delayed jobs that are due, in running batches. Jobs of paused batches are not
-- returned, and pending batches have no delayed jobs.
--
--   ?1 now    ?2 maximum number of jobs
--
-- The jobs get rank 0, so they are delivered first. Reads each batch through its index, so that the
-- delayed jobs of paused batches are not scanned.

SELECT j.batch, j.seq, j.generation, j.first, j.quantity, j.attempts
FROM rocket_batch_batches b INDEXED BY rocket_batch_batches_by_status
CROSS JOIN rocket_batch_jobs j ON j.batch = b.id AND j.seq IN (
    SELECT seq
    FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed
    WHERE batch = b.id AND not_before IS NOT NULL AND not_before <= ?1
    ORDER BY not_before
    LIMIT ?2
)
WHERE b.status = 'running'
ORDER BY j.not_before
LIMIT ?2
