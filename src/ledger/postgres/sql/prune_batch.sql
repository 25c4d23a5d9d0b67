-- prune_history: finds and locks the batch that finished first and still has job rows.
--
--   $1 minimum age, milliseconds
--
-- The end was recorded by this server's clock, and is compared with it. A batch that is locked, by
-- a retry or by another prune, is skipped. The index `batches_with_history` excludes pruned
-- batches.

SELECT id
FROM batches
WHERE finished_at <= now() - $1::bigint * interval '1 millisecond' AND finished_at IS NOT NULL AND history <> 'pruned'
ORDER BY finished_at
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
