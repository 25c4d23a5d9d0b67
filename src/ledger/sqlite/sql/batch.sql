-- batch, batches, changes: the columns of a list of batches. The caller appends the WHERE clause.
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
       CASE WHEN b.finished_at IS NULL THEN coalesce((
           SELECT sum(recent_items) FROM rocket_batch_summaries
           WHERE batch = b.id
               AND counted_at > CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) - 10000000
       ), 0) ELSE 0 END AS recent_items,
       coalesce(
           (SELECT max(last_item_at) FROM rocket_batch_summaries WHERE batch = b.id), b.last_item_at
       ) AS last_item_at,
       (SELECT version FROM rocket_batch_versions WHERE id = b.id) AS version
FROM rocket_batch_batches b
LEFT JOIN rocket_batch_summaries s ON b.finished_at IS NULL AND s.batch = b.id
    AND s.process = (SELECT process FROM rocket_batch_summaries WHERE batch = b.id ORDER BY counted_at DESC LIMIT 1)
