-- summarize: the number of jobs of a batch, if it is open and so is to be counted, and whether
-- another process just counted it.
--
--   ?1 batch    ?2 process    ?3 not before this time    ?4 now
--
-- A count that the clock puts in the future does not count: the clock was set back since.

SELECT jobs, EXISTS (
    SELECT 1 FROM batch_summaries WHERE batch = ?1 AND process <> ?2 AND counted_at BETWEEN ?3 AND ?4
) AS counted
FROM batch_batches
WHERE id = ?1 AND jobs > 0 AND finished_at IS NULL
