-- control: cancels the open jobs of a batch. This fences their workers.
--
--   $1 batch

UPDATE jobs
SET state = 'cancelled', not_before = NULL, paused = false, finished_at = now()
WHERE batch = $1 AND finished_at IS NULL
