-- changes: batches that are open, or finished in the last ten seconds.
--
--   ?1 maximum number    ?2 ten seconds ago
--
-- Finished batches come first, so that no watcher misses the end of a batch when there are many.

SELECT id FROM (
    SELECT id FROM rocket_batch_batches
    WHERE finished_at IS NOT NULL AND history <> 'pruned' AND finished_at > ?2
    ORDER BY finished_at DESC LIMIT ?1
)
UNION ALL
SELECT id FROM (SELECT id FROM rocket_batch_batches WHERE status = 'running' ORDER BY id DESC LIMIT ?1)
UNION ALL
SELECT id FROM (SELECT id FROM rocket_batch_batches WHERE status = 'paused' ORDER BY id DESC LIMIT ?1)
UNION ALL
SELECT id FROM (SELECT id FROM rocket_batch_batches WHERE status = 'pending' ORDER BY id DESC LIMIT ?1)
LIMIT ?1
