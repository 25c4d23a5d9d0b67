-- open_jobs: how many jobs of a batch may be in the queue: offered ones that wait or are active.
--
--   ?1 batch    ?2 first job number not yet offered    ?3 count no further than this

SELECT count(*)
FROM (
    SELECT 1
    FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work
    WHERE batch = ?1 AND finished_at IS NULL AND not_before IS NULL AND seq < ?2
    LIMIT ?3
)
