-- begin: gives a job to a worker and fences every earlier one, if it still is as it was read.
--
--   $1 batch            $3 generation    $5 batch's status    $7 crashes as read    $9 crashes, this one included
--   $2 job's number     $4 epoch         $6 job's state       $8 token              $10 ends that the queue was told
--
-- Returns one row (begun), or none when the job or its batch changed meanwhile: read them again.
--
-- The batch is locked for sharing: begins go side by side, but never beside a pause, a cancel or an
-- end, which take the lock of an update. Nothing stronger and nothing weaker: a foreign key to the
-- batch, of hooks or of a host's table, locks it for its key alone, and waits for neither of the
-- two.
--
-- Before that it goes through the batch's gate, an advisory lock that is held to the end of the
-- transaction. Claims share it and pass it side by side. A pause, a cancel or a retry takes it
-- alone, in `lock` of steer.rs, and claims that come later wait behind it. A row has no such order:
-- whoever wants to share it overtakes those that wait for more, and claims that overlap would keep
-- a pause waiting for ever. The gate is a CTE of its own, joined with the row, so the row is locked
-- after the gate was passed; and whoever locks a row for sharing looks at its newest version,
-- whatever the statement saw when it began.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id FROM gate, batches WHERE id = $1 AND status = $5 FOR SHARE OF batches
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, crashes = $9, token = $8, acknowledged = $10, not_before = NULL, begun_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $6 AND crashes = $7
RETURNING true AS begun
