-- at_end: returns (round) if the batch is started and has no open job; otherwise no row.
--
--   ?1 batch

SELECT round
FROM rocket_batch_batches b
WHERE id = ?1 AND jobs > 0 AND status IN ('running', 'paused')
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_to_work WHERE batch = ?1 AND finished_at IS NULL
          AND not_before IS NULL
  )
  AND NOT EXISTS (
      SELECT 1 FROM rocket_batch_jobs INDEXED BY rocket_batch_jobs_delayed WHERE batch = ?1
          AND not_before IS NOT NULL
  )
