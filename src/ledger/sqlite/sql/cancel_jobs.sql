-- control: cancels the open jobs of a batch. This fences their workers.
--
--   ?1 batch    ?2 now

UPDATE rocket_batch_jobs
SET state = 'cancelled', not_before = NULL, finished_at = ?2
WHERE batch = ?1 AND finished_at IS NULL
