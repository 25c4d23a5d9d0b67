-- claim_and_insert: gives a job to a worker as begin_next.sql does, and inserts its first chunk.
--
--   $1 batch            $4 ends that the queue was told   $7 its first ordinal    $9 the chunk's ordinals, bigint[], from the first on
--   $2 job's number     $5 token                          $8 its quantity         $10 codes, text[], as many as ordinals
--   $3 generation       $6 crashes that are too many
--   $11 the batch's prefix    $12 key fingerprint
--
-- Returns one row of the job as it is now, or none when it is not like that, or it or its batch are
-- not what the chunk was made for: nothing was written then.
--
-- One statement and one flush where there were two of each. A worker that is lost before it is
-- committed leaves no trace, and did nothing; one that is lost afterwards has written something
-- new. So no crash goes uncounted that could come again and again.

WITH gate AS MATERIALIZED (
    SELECT pg_advisory_xact_lock_shared(hashtextextended('rocket_batch batch of ' || current_schema()::text, $1))
), batch AS MATERIALIZED (
    SELECT id, prefix, key_fingerprint FROM gate, batches
    WHERE id = $1 AND status = 'running' AND prefix IS NOT DISTINCT FROM $11 AND key_fingerprint = $12
    FOR SHARE OF batches
), job AS (
    UPDATE jobs
    SET state = 'active', epoch = epoch + 1, token = $5, acknowledged = $4, not_before = NULL, begun_at = now(),
        created = cardinality($9::bigint[]), written_to = first + cardinality($9::bigint[]), crashes = 0
    FROM batch
    WHERE jobs.batch = $1 AND seq = $2 AND generation = $3 AND state = 'waiting' AND written_to <= first AND crashes < $6
      AND first = $7 AND quantity = $8 AND quantity >= cardinality($9::bigint[])
    RETURNING jobs.batch, epoch, first, quantity, attempts, prefix, key_fingerprint
), written AS (
    INSERT INTO items (batch, ordinal, code)
    SELECT job.batch, item.ordinal, item.code
    FROM job, unnest($9::bigint[], $10::text[]) AS item (ordinal, code)
)
SELECT epoch, first, quantity, attempts, prefix, key_fingerprint FROM job
