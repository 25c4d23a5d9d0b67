-- close, control, plan: finishes a batch and stores the counts of its jobs, even if it has none.
--
--   $1 batch     $3 error        $5 failed       $7 items created
--   $2 status    $4 completed    $6 cancelled    $8 time worked, milliseconds
--
-- Returns the columns of batch.sql. After this, lists read this row and no summary.

WITH summary AS (
    DELETE FROM summaries WHERE batch = $1 RETURNING version, last_item_at
)
UPDATE batches
SET status = $2, error = $3, finished_at = now(), completed = $4, failed = $5, cancelled = $6,
    items_created = $7, worked_ms = $8,
    -- A batch without a summary took less than a second.
    last_item_at = greatest(
        last_item_at, coalesce((SELECT max(last_item_at) FROM summary), CASE WHEN $7::bigint > 0 THEN now() END)
    ),
    close_tries = 0, close_not_before = NULL, close_error = NULL,
    jobs = coalesce(jobs, 0), round = round + 1,
    version = version + 1 + (SELECT coalesce(sum(version), 0)::bigint FROM summary)
WHERE id = $1
RETURNING id, status, quantity, batch_size, prefix, max_jobs, round, error, close_error,
          created_at, started_at, finished_at, history <> 'complete' AS history_removed,
          coalesce(repaired_round = round - 1, false) AS repaired,
          0::bigint AS waiting, 0::bigint AS active, 0::bigint AS delayed,
          completed, failed, cancelled, items_created, worked_ms, 0::bigint AS recent_items, last_item_at
