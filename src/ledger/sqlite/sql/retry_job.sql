-- retry: recreates one failed job, with fresh attempts and as a new generation.
--
--   ?1 batch    ?2 job's number
--
-- The epoch goes on: a hold of the old generation stays void.

UPDATE batch_jobs
SET state = 'waiting', generation = generation + 1, attempts = 0, crashes = 0,
    not_before = NULL, error = NULL, chunks = NULL, begun_at = NULL, finished_at = NULL
WHERE batch = ?1 AND seq = ?2
