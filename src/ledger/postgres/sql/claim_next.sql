-- begin: gives a job to a worker that waits, in a batch that runs or is to run, and of which
-- nothing was ever written.
--
--   $1 batch            $3 generation                     $5 token
--   $2 job's number     $4 ends that the queue was told   $6 crashes that are too many
--
-- Returns one row of the job as it is now, or none when it is not like that: `begin_job.sql` says
-- what it is.
--
-- This is nearly every begin, and one round trip: from written_to on no row was ever written, so
-- nothing needs to be looked up. The gate and the batch are locked as in begin.sql. The first job
-- sets its batch running; of several at once one does, and the others come back by begin.sql.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), running AS MATERIALIZED (
    SELECT id, prefix, key_fingerprint FROM gate, batches WHERE id = $1 AND status = 'running' FOR SHARE OF batches
), started AS (
    UPDATE batches
    SET status = 'running', started_at = coalesce(started_at, now()), version = version + 1
    FROM gate
    WHERE id = $1 AND status = 'pending'
      AND EXISTS (
          SELECT FROM jobs
          WHERE batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first AND crashes < $6
      )
    RETURNING id, prefix, key_fingerprint
), batch AS (
    SELECT * FROM running UNION ALL SELECT * FROM started
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, token = $5, acknowledged = $4, not_before = NULL, begun_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first AND crashes < $6
RETURNING epoch, first, quantity, attempts, prefix, key_fingerprint
