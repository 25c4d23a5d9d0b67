-- claim: fails a job whose workers crashed too often, unless the job changed since it was read.
--
--   $1 batch         $4 epoch              $7 new number of crashes    $10 group of the error
--   $2 job number    $5 job state          $8 error
--   $3 generation    $6 crashes as read    $9 finished attempts acknowledged by the queue
--
-- Returns one row, or none if the job changed. The gate and the batch are locked as in claim.sql.
--
-- Raises the epoch as a claim does, so that a lost worker is fenced if it returns.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id FROM gate, batches WHERE id = $1 AND status IN ('pending', 'running') FOR SHARE OF batches
)
UPDATE jobs
SET state = 'failed', epoch = epoch + 1, crashes = $7, error = $8, error_group = $10,
    acknowledged = $9, failed_chunks = NULL, paused = false,
    not_before = NULL, finished_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $5 AND crashes = $6
RETURNING true AS failed
