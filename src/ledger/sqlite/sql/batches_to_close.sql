-- batches_to_close: the id and round of a started batch that has no open job, and need not wait for
-- another call of the host's finish hook.
--
--   ?1 batch    ?2 now    ?3 the latest possible time of that call

SELECT id, round
FROM rocket_batch_batches b
WHERE id = ?1 AND jobs > 0 AND status IN ('running', 'paused')
  AND (close_not_before IS NULL OR close_not_before <= ?2 OR close_not_before > ?3)
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work WHERE batch = ?1 AND finished_at IS NULL
          AND not_before IS NULL
  )
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed WHERE batch = ?1
          AND not_before IS NOT NULL
  )
