-- retry, claim: reopens a finished batch after at least one of its jobs was opened again. A claim
-- does so for a job that was retried by hand in the queue. The jobs have the counts from now on.
--
--   $1 batch    $2 status

UPDATE batches
SET status = $2, error = NULL, finished_at = NULL,
    close_tries = 0, close_not_before = NULL, close_error = NULL,
    completed = NULL, failed = NULL, cancelled = NULL, items_created = NULL, worked_ms = NULL, version = version + 1
WHERE id = $1
