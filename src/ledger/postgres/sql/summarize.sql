-- summarize: counts the jobs of open batches, for those who list them.
--
--   $1 batches, bigint[]    $3 items that this process wrote in each lately, bigint[]
--   $2 process              $4 when it wrote the last of them, timestamptz[]
--
-- The row says when its snapshot was taken, so that readers know the latest. A batch that is over keeps no row.

INSERT INTO summaries AS s
    (batch, process, waiting, active, delayed, completed, failed, items_created, worked_ms, counted_at, recent_items, last_item_at)
SELECT b.id, $2, j.waiting, j.active, j.delayed, j.completed, j.failed, j.items_created, j.worked_ms,
       statement_timestamp(), told.recent_items, told.last_item_at
FROM unnest($1::bigint[], $3::bigint[], $4::timestamptz[]) AS told (id, recent_items, last_item_at)
JOIN batches b ON b.id = told.id AND b.jobs > 0 AND b.finished_at IS NULL
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'delayed') AS delayed,
           count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           sum(created)::bigint AS items_created,
           sum(worked_ms)::bigint AS worked_ms
    FROM jobs
    WHERE batch = b.id
) j
ORDER BY b.id
ON CONFLICT (batch, process) DO UPDATE
SET waiting = excluded.waiting, active = excluded.active, delayed = excluded.delayed, completed = excluded.completed,
    failed = excluded.failed, items_created = excluded.items_created, worked_ms = excluded.worked_ms,
    counted_at = excluded.counted_at, recent_items = excluded.recent_items,
    last_item_at = coalesce(excluded.last_item_at, s.last_item_at), version = s.version + 1
