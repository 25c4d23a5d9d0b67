-- batches, changes: the columns of a list of batches. The caller appends the WHERE clause.
--
-- Reads no job: an open batch shows the counts of its latest summary. No process has worked on an
-- open batch without a summary for long, so all its jobs are shown as waiting. An open batch has no
-- cancelled job.

SELECT b.id, b.status, b.quantity, b.batch_size, b.prefix, b.max_jobs, b.round, b.error, b.close_error,
       b.created_at, b.started_at, b.finished_at, b.history <> 'complete' AS history_removed,
       coalesce(b.repaired_round = b.round - CASE WHEN b.finished_at IS NULL THEN 0 ELSE 1 END, false) AS repaired,
       CASE WHEN b.finished_at IS NULL THEN coalesce(s.waiting, b.jobs, 0) ELSE 0 END AS waiting,
       coalesce(s.active, 0) AS active, coalesce(s.delayed, 0) AS delayed,
       coalesce(b.completed, s.completed, 0) AS completed,
       coalesce(b.failed, s.failed, 0) AS failed,
       coalesce(b.cancelled, 0) AS cancelled,
       coalesce(b.items_created, s.items_created, 0) AS items_created,
       coalesce(b.worked_ms, s.worked_ms, 0) AS worked_ms,
       coalesce(a.recent_items, 0) AS recent_items, greatest(b.last_item_at, a.last_item_at) AS last_item_at,
       b.version + coalesce(a.version, 0) AS version
FROM batches b
LEFT JOIN LATERAL (
    SELECT * FROM summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1
) s ON b.finished_at IS NULL
LEFT JOIN LATERAL (
    SELECT sum(recent_items) FILTER (WHERE counted_at > now() - interval '10 seconds')::bigint AS recent_items,
           max(last_item_at) AS last_item_at, sum(version)::bigint AS version
    FROM summaries
    WHERE batch = b.id
) a ON b.finished_at IS NULL
