-- backlog: the open jobs of each batch that is to be worked, as they were counted last, of the
-- first batches.
--
--   ?1 at most so many batches
--
-- A batch that no process has worked yet was never counted, and all its jobs are open.

SELECT coalesce(
    (SELECT waiting + active + delayed FROM batch_summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1),
    b.jobs
) AS open
FROM batch_batches b INDEXED BY batch_batches_open
WHERE b.jobs > 0 AND b.status IN ('pending', 'running')
ORDER BY b.created_at, b.id
LIMIT ?1
