-- backlog: the number of open jobs of each unfinished batch, as last counted, oldest batches first.
--
--   $1 maximum number of batches
--
-- A batch without a summary has no finished job yet, so all its jobs are open.

SELECT coalesce(s.open, b.jobs) AS open
FROM (
    SELECT id, jobs FROM batches WHERE jobs > 0 AND status IN ('pending', 'running') ORDER BY created_at, id LIMIT $1
) b
LEFT JOIN LATERAL (
    SELECT waiting + active + delayed AS open FROM summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1
) s ON true
