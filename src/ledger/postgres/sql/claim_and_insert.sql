-- claim_and_insert: claims a job as claim_next.sql does, and inserts its first chunk.
--
--   $1 batch         $5 token                          $9 the chunk's ordinals, bigint[]
--   $2 job number    $6 crashes that fail the job      $10 codes, text[], one per ordinal
--   $3 generation    $7 the job's first ordinal        $11 the batch's prefix
--   $4 finished attempts acknowledged by the queue     $12 key fingerprint
--                    $8 the job's quantity
--
-- Returns the claimed job. Returns no row, and writes nothing, if the job has items, or if it or
-- its batch differs from the one that the chunk was built for.
--
-- One statement and one flush instead of two of each. If the worker dies before the commit, the job
-- is unchanged. If it dies after the commit, the job has a new item. So no crash that could repeat
-- for ever goes uncounted.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id, jobs, prefix, key_fingerprint, traceparent FROM gate, batches
    WHERE id = $1 AND status = 'running' AND prefix IS NOT DISTINCT FROM $11 AND key_fingerprint = $12
    FOR SHARE OF batches
), job AS (
    UPDATE jobs
    SET state = 'active', epoch = epoch + 1, token = $5, acknowledged = $4, not_before = NULL, claimed_at = now(),
        created = cardinality($9::bigint[]), written_to = first + cardinality($9::bigint[]), crashes = 0
    FROM batch
    WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first
        AND crashes < $6
      AND first = $7 AND quantity = $8 AND quantity >= cardinality($9::bigint[])
    RETURNING jobs.batch, epoch, first, quantity, attempts, batch.jobs AS jobs_in_batch, prefix, key_fingerprint,
        traceparent
), inserted AS (
    INSERT INTO items (batch, ordinal, code)
    SELECT job.batch, item.ordinal, item.code
    FROM job, unnest($9::bigint[], $10::text[]) AS item (ordinal, code)
)
SELECT epoch, first, quantity, attempts, jobs_in_batch, prefix, key_fingerprint, traceparent FROM job
