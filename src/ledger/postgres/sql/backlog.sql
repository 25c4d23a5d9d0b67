-- backlog: the open jobs of each batch that is to be worked, as they were counted last, of the
-- first batches.
--
--   $1 at most so many batches
--
-- A batch that no process has worked yet was never counted, and all its jobs are open.

SELECT coalesce(s.open, b.jobs) AS open
FROM (
    SELECT id, jobs FROM batches WHERE jobs > 0 AND status IN ('pending', 'running') ORDER BY created_at, id LIMIT $1
) b
LEFT JOIN LATERAL (
    SELECT waiting + active + delayed AS open FROM summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1
) s ON true
