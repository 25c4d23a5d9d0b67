-- retry: recreates failed jobs, with fresh attempts and as a new generation.
--
--   $1 batch    $2 jobs' numbers, bigint[]
--
-- The epoch goes on: a hold of the old generation stays void.

UPDATE jobs
SET state = 'waiting', generation = generation + 1, attempts = 0, crashes = 0,
    not_before = NULL, error = NULL, chunks = NULL, begun_at = NULL, finished_at = NULL
WHERE batch = $1 AND seq = ANY ($2::bigint[])
