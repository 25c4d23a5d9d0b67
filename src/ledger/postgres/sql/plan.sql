-- plan: gives a batch its jobs, if it has none yet.
--
--   $1 batch              $3 estimate, ms                $5 their first ordinals, bigint[]
--   $2 key fingerprint    $4 jobs' numbers, bigint[]     $6 their quantities, bigint[]
--
-- Returns (planned): of two at once the second waits here for the first, and finds that it has.

WITH batch AS (
    UPDATE batches
    SET key_fingerprint = $2, estimated_ms = $3, jobs = cardinality($4::bigint[]),
        version = version + 1
    WHERE id = $1 AND jobs IS NULL
    RETURNING id
), made AS (
    INSERT INTO jobs (batch, seq, first, quantity)
    SELECT batch.id, job.seq, job.first, job.quantity
    FROM batch, unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS job (seq, first, quantity)
)
SELECT EXISTS (SELECT FROM batch) AS planned
