-- begin: gives a job to a worker and fences every earlier one, if it still is as it was read.
--
--   $1 batch            $3 generation    $5 batch's status    $7 crashes as read    $9 crashes, this one included
--   $2 job's number     $4 epoch         $6 job's state       $8 token              $10 ends that the queue was told
--
-- Returns one row (begun), or none when the job or its batch changed meanwhile: read them again.
--
-- The batch is locked for sharing: begins go side by side, but never beside a pause, a cancel or an end, which take the lock of an update.
-- Nothing stronger and nothing weaker: a foreign key to the batch, of hooks or of a host's table, locks it for its key alone, and waits for
-- neither of the two.

WITH batch AS MATERIALIZED (
    SELECT id FROM batches WHERE id = $1 AND status = $5 FOR SHARE
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, crashes = $9, token = $8, acknowledged = $10, not_before = NULL, begun_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND epoch = $4 AND state = $6 AND crashes = $7
RETURNING true AS begun
