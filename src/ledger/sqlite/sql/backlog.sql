-- backlog: the number of open jobs of each unfinished batch, as last counted, oldest batches first.
--
--   ?1 maximum number of batches
--
-- A batch without a summary has no finished job yet, so all its jobs are open.

SELECT coalesce(
    (SELECT waiting + active + delayed FROM rocket_batch_summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1),
    b.jobs
) AS open
FROM rocket_batch_batches b INDEXED BY rocket_batch_batches_open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running')
ORDER BY b.created_at, b.id
LIMIT ?1
