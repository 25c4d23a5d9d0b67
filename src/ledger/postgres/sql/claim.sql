-- claim: claims a job and fences every earlier claim, unless the job changed since it was read.
--
--   $1 batch         $4 epoch             $7 crashes as read
--   $2 job number    $5 batch status      $8 token
--   $3 generation    $6 job state         $9 new number of crashes
--                                         $10 finished attempts acknowledged by the queue
--
-- Returns one row (claimed), or none if the job or its batch changed: read them again.
--
-- Locks the batch FOR SHARE, so claims run side by side but never beside a pause, a cancel or a
-- close, which lock it FOR NO KEY UPDATE. A foreign key to the batch, from hooks or from a host's
-- table, locks it FOR KEY SHARE and waits for neither.
--
-- Before the row, it takes the batch's gate, an advisory lock held until the transaction ends.
-- Claims share the gate. A pause, a cancel and a retry take it exclusively (`lock` in control.rs),
-- and later claims queue behind them. Row locks are not queued fairly: a session that shares the
-- row overtakes those waiting for an exclusive lock, so overlapping claims could delay a pause for
-- ever.
--
-- The gate is a CTE joined with the row, so the row is locked after the gate. FOR SHARE reads the
-- newest version of the row, whatever the statement's snapshot is.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id FROM gate, batches WHERE id = $1 AND status = $5 FOR SHARE OF batches
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, crashes = $9, token = $8, acknowledged = $10, not_before = NULL,
    claimed_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $6 AND crashes = $7
RETURNING true AS claimed
