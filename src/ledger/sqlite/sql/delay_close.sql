-- close, plan: stores that the finish hook of the host failed, unless the batch has open jobs
-- again.
--
--   ?1 batch    ?2 failed calls    ?3 when it may be called again    ?4 error

UPDATE rocket_batch_batches
SET close_tries = ?2, close_not_before = ?3, close_error = ?4, version = version + 1
WHERE id = ?1
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work WHERE batch = ?1 AND finished_at IS NULL
          AND not_before IS NULL
  )
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed WHERE batch = ?1 AND not_before IS NOT NULL
  )
