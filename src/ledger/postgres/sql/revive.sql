-- claim: sets a manually retried job waiting again. Keeps its generation and its attempts.
--
--   $1 batch    $2 job number

UPDATE jobs
SET state = 'waiting', crashes = 0, error = NULL, error_group = NULL, failed_chunks = NULL, finished_at = NULL
WHERE batch = $1 AND seq = $2
