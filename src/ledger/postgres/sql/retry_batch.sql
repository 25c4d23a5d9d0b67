-- retry: lets a batch run again, or run on, with jobs that were recreated.
--
--   $1 batch    $2 status    $3 jobs recreated

UPDATE batches
SET status = $2, open_jobs = open_jobs + $3, error = NULL, finished_at = NULL,
    completed = NULL, failed = NULL, cancelled = NULL, version = version + 1
WHERE id = $1
