-- claim: claims the first job of a batch, as claim.sql does, and sets the batch running.
--
--   $1 batch         $4 epoch             $7 crashes as read
--   $2 job number    $5 batch status      $8 token
--   $3 generation    $6 job state         $9 new number of crashes
--   $11 new batch status                  $10 finished attempts acknowledged by the queue
--
-- Of several concurrent claims, one finds the batch pending. The others find it changed, read it
-- again and use claim.sql.

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
SET state = 'active', epoch = epoch + 1, crashes = $9, token = $8, acknowledged = $10, not_before = NULL,
    claimed_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $6 AND crashes = $7
RETURNING true AS claimed
