-- control: cancels the open jobs of a batch. Their workers can then insert nothing more, because
-- chunks and results are only stored for active jobs.
--
--   $1 batch

UPDATE jobs
SET state = 'cancelled', not_before = NULL, paused = false, finished_at = now()
WHERE batch = $1 AND finished_at IS NULL
