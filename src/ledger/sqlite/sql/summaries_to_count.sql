-- summarize: the number of jobs of a batch, if it is open, and whether another process has just
-- counted them.
--
--   ?1 batch    ?2 process    ?3 earliest time of a fresh count    ?4 now
--
-- A count from the future is not fresh: the clock was set back since.

SELECT jobs, EXISTS (
    SELECT 1 FROM rocket_batch_summaries WHERE batch = ?1 AND process <> ?2 AND counted_at BETWEEN ?3 AND ?4
) AS counted
FROM rocket_batch_batches
WHERE id = ?1 AND jobs > 0 AND finished_at IS NULL
