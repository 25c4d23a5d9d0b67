-- retry: lets a batch run again, or run on, with jobs that were recreated.
--
--   $1 batch    $2 status

UPDATE batches
SET status = $2, error = NULL, finished_at = NULL,
    completed = NULL, failed = NULL, cancelled = NULL, items_created = NULL, worked_ms = NULL, version = version + 1
WHERE id = $1
