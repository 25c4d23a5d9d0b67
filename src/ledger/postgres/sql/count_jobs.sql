-- summarize: counts the jobs of batches.
--
--   $1 batches, bigint[]
--
-- Locks nothing and keeps nobody waiting, however long it takes. `counted_at` is before the
-- snapshot, so that a count has every change that was committed by then, and of two counts the
-- later one has seen more.
--
-- One batch after the other: whatever the planner thinks of the array, each is read by its key.

SELECT b.id AS batch, j.*, statement_timestamp() AS counted_at
FROM unnest($1::bigint[]) AS b (id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'delayed') AS delayed,
           count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           coalesce(sum(created), 0)::bigint AS items_created,
           coalesce(sum(worked_ms), 0)::bigint AS worked_ms
    FROM jobs
    WHERE batch = b.id
) j
