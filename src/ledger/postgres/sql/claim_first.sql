-- begin: the same as begin.sql for the first job of a batch, which sets the batch running.
--
--   $1 batch            $3 generation    $5 batch's status    $7 crashes as read    $9 crashes, this one included
--   $2 job's number     $4 epoch         $6 job's state       $8 token              $10 ends that the queue was told
--   $11 batch's status from now on
--
-- Of several at once one finds the batch pending; the others find it changed, and come back by
-- begin.sql.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS (
    UPDATE batches
    SET status = $11, started_at = coalesce(started_at, now()), version = version + 1
    FROM gate
    WHERE id = $1 AND status = $5
    RETURNING id
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, crashes = $9, token = $8, acknowledged = $10, not_before = NULL, begun_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $6 AND crashes = $7
RETURNING true AS begun
