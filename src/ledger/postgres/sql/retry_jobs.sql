-- retry: recreates failed jobs as a new generation with fresh attempts.
--
--   $1 batch    $2 job numbers, bigint[]
--
-- Keeps the epoch, so that claims of the old generation stay fenced.

UPDATE jobs
SET state = 'waiting', generation = generation + 1, attempts = 0, crashes = 0,
    not_before = NULL, error = NULL, error_group = NULL, failed_chunks = NULL, claimed_at = NULL, finished_at = NULL
WHERE batch = $1 AND seq = ANY ($2::bigint[])
