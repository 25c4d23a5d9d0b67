-- repair: recreates one completed job as a new generation with fresh attempts.
--
--   ?1 batch    ?2 job number    ?3 items that exist
--
-- Keeps the epoch, so that claims of the old generation stay fenced.

UPDATE rocket_batch_jobs
SET state = 'waiting', generation = generation + 1, created = ?3, attempts = 0, crashes = 0, claimed_at = NULL,
    finished_at = NULL
WHERE batch = ?1 AND seq = ?2
