-- forget: finds the batch that has been over for the longest and still has a history.
--
--   ?1 the latest end that counts
--
-- The index is named: it holds no batch whose history is gone, so however many there are, none is
-- passed over.

SELECT id
FROM batch_batches INDEXED BY batch_batches_with_history
WHERE finished_at <= ?1 AND finished_at IS NOT NULL AND history <> 'gone'
ORDER BY finished_at
LIMIT 1
