-- open_jobs: counts the jobs of a batch that were offered and are still waiting or active. Some of
-- them may no longer be in the queue.
--
--   ?1 batch    ?2 first job number not yet offered    ?3 stop counting at this number

SELECT count(*)
FROM (
    SELECT 1
    FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work
    WHERE batch = ?1 AND finished_at IS NULL AND not_before IS NULL AND seq < ?2
    LIMIT ?3
)
