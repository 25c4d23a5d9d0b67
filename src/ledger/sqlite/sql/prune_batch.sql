-- prune_history: finds the batch that finished first and still has job rows.
--
--   ?1 latest end to consider
--
-- The named index excludes pruned batches, so none is scanned, however many there are.

SELECT id
FROM rocket_batch_batches INDEXED BY rocket_batch_batches_with_history
WHERE finished_at <= ?1 AND finished_at IS NOT NULL AND history <> 'pruned'
ORDER BY finished_at
LIMIT 1
