-- changes: batches that are open, or finished in the last ten seconds.
--
--   $1 maximum number of each kind
--
-- Finished batches come first, so that no watcher misses the end of a batch when there are many.

(
    SELECT id FROM batches
    WHERE finished_at IS NOT NULL AND history <> 'pruned' AND finished_at > now() - interval '10 seconds'
    ORDER BY finished_at DESC LIMIT $1
)
UNION ALL
(SELECT id FROM batches WHERE status = 'running' ORDER BY id DESC LIMIT $1)
UNION ALL
(SELECT id FROM batches WHERE status = 'paused' ORDER BY id DESC LIMIT $1)
UNION ALL
(SELECT id FROM batches WHERE status = 'pending' ORDER BY id DESC LIMIT $1)
LIMIT $1
