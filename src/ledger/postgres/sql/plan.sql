-- plan: inserts the jobs of a batch, if it has none yet.
--
--   $1 batch              $3 estimate, ms             $5 first ordinals, bigint[]
--   $2 key fingerprint    $4 job numbers, bigint[]    $6 quantities, bigint[]
--
-- Returns (planned). Of two concurrent calls, the second waits here for the first and plans
-- nothing.

WITH batch AS (
    UPDATE batches
    SET key_fingerprint = $2, estimated_ms = $3, jobs = cardinality($4::bigint[]),
        close_tries = 0, close_not_before = NULL, close_error = NULL,
        version = version + 1
    WHERE id = $1 AND jobs IS NULL
    RETURNING id
), job_rows AS (
    INSERT INTO jobs (batch, seq, first, quantity)
    SELECT batch.id, job.seq, job.first, job.quantity
    FROM batch, unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS job (seq, first, quantity)
)
SELECT EXISTS (SELECT FROM batch) AS planned
