-- claim: claims a waiting job without items, in a pending or running batch.
--
--   $1 batch         $3 generation                                     $5 token
--   $2 job number    $4 finished attempts acknowledged by the queue    $6 crashes that fail the job
--
-- Returns the claimed job, or no row if any of this does not hold: read_job.sql shows why.
--
-- Nearly every claim is this one round trip. No item is looked up, because no row at or beyond
-- written_to was ever inserted. The gate and the batch are locked as in claim.sql. The first claim
-- sets the batch running. Of several concurrent ones, one does so; the others use claim.sql.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), running AS MATERIALIZED (
    SELECT id, jobs, prefix, key_fingerprint, traceparent FROM gate, batches
    WHERE id = $1 AND status = 'running'
    FOR SHARE OF batches
), started AS (
    UPDATE batches
    SET status = 'running', started_at = coalesce(started_at, now()), version = version + 1
    FROM gate
    WHERE id = $1 AND status = 'pending'
      AND EXISTS (
          SELECT FROM jobs
          WHERE batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first
              AND crashes < $6
      )
    RETURNING id, jobs, prefix, key_fingerprint, traceparent
), batch AS (
    SELECT * FROM running UNION ALL SELECT * FROM started
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, token = $5, acknowledged = $4, not_before = NULL, claimed_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first AND crashes < $6
RETURNING epoch, first, quantity, attempts, batch.jobs AS jobs_in_batch, prefix, key_fingerprint, traceparent
