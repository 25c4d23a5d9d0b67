-- create, plan: what the workers did in the batch that finished last; one that was cancelled before it began says nothing.

SELECT items_created, worked_ms
FROM batch_batches
WHERE finished_at IS NOT NULL AND worked_ms > 0
ORDER BY finished_at DESC
LIMIT 1
