-- begin: gives a job to a worker that waits, in a batch that runs, and of which nothing was ever written.
--
--   $1 batch            $3 generation                     $5 token
--   $2 job's number     $4 ends that the queue was told   $6 crashes that are too many
--
-- Returns one row of the job as it is now, or none when it is not like that: `begin_job.sql` says what it is.
--
-- This is nearly every begin, and one round trip: from written_to on no row was ever written, so nothing needs to be looked up. The batch is
-- locked as in begin.sql.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id, prefix, key_fingerprint FROM gate, batches WHERE id = $1 AND status = 'running' FOR SHARE OF batches
)
UPDATE jobs
SET state = 'active', epoch = epoch + 1, token = $5, acknowledged = $4, not_before = NULL, begun_at = now()
FROM batch
WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first AND crashes < $6
RETURNING epoch, first, quantity, attempts, prefix, key_fingerprint
