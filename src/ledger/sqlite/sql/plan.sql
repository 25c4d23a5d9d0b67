-- plan: stores the number of jobs of a batch, if it has none yet.
--
--   ?1 batch    ?2 key fingerprint    ?3 jobs    ?4 estimate, ms

UPDATE rocket_batch_batches
SET key_fingerprint = ?2, jobs = ?3, estimated_ms = ?4, version = version + 1
WHERE id = ?1 AND jobs IS NULL
