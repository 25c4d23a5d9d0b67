-- open_jobs: how many jobs of a batch may be in the queue: those that wait or are active and were
-- offered.
--
--   ?1 batch    ?2 from which number on its jobs were not offered yet    ?3 counts no further than this

SELECT count(*)
FROM (
    SELECT 1
    FROM batch_jobs INDEXED BY batch_jobs_to_work
    WHERE batch = ?1 AND finished_at IS NULL AND not_before IS NULL AND seq < ?2
    LIMIT ?3
)
