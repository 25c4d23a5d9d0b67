-- open_jobs: delayed jobs whose time has come, of batches that are to be worked.
--
--   ?1 now    ?2 at most so many
--
-- They come next: their turn was long ago.

SELECT j.batch, j.seq, j.generation, j.first, j.quantity, j.attempts
FROM batch_jobs j INDEXED BY batch_jobs_due
JOIN batch_batches b ON b.id = j.batch AND b.status IN ('pending', 'running')
WHERE j.not_before IS NOT NULL AND j.not_before <= ?1
ORDER BY j.not_before
LIMIT ?2
