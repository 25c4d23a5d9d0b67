-- close, control, plan: finishes a batch and stores the counts of its jobs, even if it has none.
--
--   $1 batch     $3 error        $5 failed       $7 items created
--   $2 status    $4 completed    $6 cancelled    $8 time worked, milliseconds
--
-- After this, lists read this row and no summary.

WITH summary AS (
    DELETE FROM summaries WHERE batch = $1 RETURNING version
)
UPDATE batches
SET status = $2, error = $3, finished_at = now(), completed = $4, failed = $5, cancelled = $6,
    items_created = $7, worked_ms = $8,
    jobs = coalesce(jobs, 0), round = round + 1,
    version = version + 1 + (SELECT coalesce(sum(version), 0)::bigint FROM summary)
WHERE id = $1
