-- begin: gives a job up that lost its worker too often, if it still is as it was read.
--
--   $1 batch            $3 generation    $5 job's state        $7 crashes, this one included
--   $2 job's number     $4 epoch         $6 crashes as read    $8 why
--   $9 ends that the queue was told
--
-- Returns one row, or none when the job changed meanwhile. The batch is locked as in begin.sql.
--
-- Raises the epoch as a begin does: the worker that was lost may come back, and its hold must not
-- be good.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id FROM gate, batches WHERE id = $1 AND status IN ('pending', 'running') FOR SHARE OF batches
)
UPDATE jobs
SET state = 'failed', epoch = epoch + 1, crashes = $7, error = $8, acknowledged = $9, chunks = NULL, paused = false,
    not_before = NULL, finished_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $5 AND crashes = $6
RETURNING true AS failed
