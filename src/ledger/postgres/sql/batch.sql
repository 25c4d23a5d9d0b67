-- batch: one batch with its counts.
--
--   $1 batch
--
-- Counts the jobs of an open batch on one snapshot. A finished batch has stored counts.

SELECT b.id, b.status, b.quantity, b.batch_size, b.prefix, b.max_jobs, b.round, b.error, b.close_error,
       b.created_at, b.started_at, b.finished_at, b.history <> 'complete' AS history_removed,
       coalesce(b.repaired_round = b.round - CASE WHEN b.finished_at IS NULL THEN 0 ELSE 1 END, false) AS repaired,
       coalesce(j.waiting, 0) AS waiting, coalesce(j.active, 0) AS active, coalesce(j.delayed, 0) AS delayed,
       coalesce(b.completed, j.completed, 0) AS completed,
       coalesce(b.failed, j.failed, 0) AS failed,
       coalesce(b.cancelled, j.cancelled, 0) AS cancelled,
       coalesce(b.items_created, j.items_created, 0) AS items_created,
       coalesce(b.worked_ms, j.worked_ms, 0) AS worked_ms,
       coalesce(a.recent_items, 0) AS recent_items, greatest(b.last_item_at, a.last_item_at) AS last_item_at
FROM batches b
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'delayed') AS delayed,
           count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
           sum(created)::bigint AS items_created,
           sum(worked_ms)::bigint AS worked_ms
    FROM jobs
    WHERE batch = b.id
) j ON b.finished_at IS NULL
LEFT JOIN LATERAL (
    SELECT sum(recent_items) FILTER (WHERE counted_at > now() - interval '10 seconds')::bigint AS recent_items,
           max(last_item_at) AS last_item_at
    FROM summaries
    WHERE batch = b.id
) a ON b.finished_at IS NULL
WHERE b.id = $1
