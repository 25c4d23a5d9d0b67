-- summarize: counts the jobs of batches.
--
--   $1 batches, bigint[]
--
-- Locks nothing, so it blocks no session however long it takes. `counted_at` is earlier than the
-- snapshot: a count includes every change committed by then, and of two counts the one with the
-- later `counted_at` has seen more.
--
-- The lateral join reads each batch by its key, whatever the planner estimates for the array.

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
