-- totals: the counts of the whole ledger, without those of batches by status.
--
--   $1 maximum number of started batches whose jobs are counted
--
-- Open jobs come from the latest summary of each started batch. Of a pending batch all jobs wait,
-- and the index has their number. The last item is that of a started batch, or of one of the
-- batches that finished last. A batch that finished before it was counted has no time of its last
-- item, but finished right after it. One index has the batches with working time, the other one
-- those with a history.

WITH started AS (
    SELECT id, jobs FROM batches WHERE jobs > 0 AND status IN ('running', 'paused') ORDER BY id LIMIT $1
), counted AS (
    SELECT coalesce(sum(coalesce(s.waiting, started.jobs)), 0) AS waiting, coalesce(sum(s.active), 0) AS active,
           coalesce(sum(s.delayed), 0) AS delayed
    FROM started
    LEFT JOIN LATERAL (
        SELECT waiting, active, delayed FROM summaries WHERE batch = started.id ORDER BY counted_at DESC LIMIT 1
    ) s ON true
)
SELECT (waiting + (SELECT coalesce(sum(jobs), 0) FROM batches WHERE jobs > 0 AND status = 'pending'))::bigint
           AS waiting,
       active::bigint AS active, delayed::bigint AS delayed,
       least(
           (SELECT created_at FROM batches
            WHERE jobs > 0 AND status IN ('pending', 'running') ORDER BY created_at, id LIMIT 1),
           (SELECT created_at FROM batches WHERE jobs IS NULL AND status = 'pending' ORDER BY id LIMIT 1)
       ) AS oldest_open,
       greatest(
           (SELECT max(last.last_item_at) FROM started
            CROSS JOIN LATERAL (SELECT max(last_item_at) AS last_item_at FROM summaries WHERE batch = started.id) last),
           (SELECT max(last_item_at) FROM (
               SELECT coalesce(last_item_at, CASE WHEN items_created > 0 THEN finished_at END) AS last_item_at
               FROM batches
               WHERE finished_at IS NOT NULL AND worked_ms > 0 ORDER BY finished_at DESC LIMIT 100
           ) finished),
           (SELECT max(last_item_at) FROM (
               SELECT coalesce(last_item_at, CASE WHEN items_created > 0 THEN finished_at END) AS last_item_at
               FROM batches
               WHERE finished_at IS NOT NULL AND history <> 'pruned' ORDER BY finished_at DESC LIMIT 100
           ) finished)
       ) AS last_item_at,
       (SELECT count(*) FROM hooks WHERE state = 'given_up') AS hooks_given_up
FROM counted
