-- open_jobs: delayed jobs that are due, in running batches. Jobs of paused batches are not
-- returned, and pending batches have no delayed jobs.
--
--   ?1 now    ?2 maximum number of jobs
--
-- Each job is its own head, so it gets rank 0 and is delivered first. Reads each batch through its
-- index, so that the delayed jobs of paused batches are not scanned.

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
