-- create: inserts the batch and its jobs, if the id is free, and the key of the request too.
--
--   $1 id            $5 most jobs          $9 caller                  $12 jobs' numbers, bigint[]
--   $2 quantity      $6 key fingerprint    $10 idempotency key        $13 their first ordinals, bigint[]
--   $3 batch size    $7 token              $11 request fingerprint    $14 their quantities, bigint[]
--   $4 prefix        $8 estimate, ms
--
-- Returns (made): false when the id or the key is in use; of twins the second waits here for the
-- first.
--
-- One statement, so that it is one round trip and one transaction. `{schema}` is replaced by the
-- ledger's: in a transaction of the host's the search path is the host's.

WITH batch AS (
    INSERT INTO {schema}.batches (id, quantity, batch_size, prefix, max_jobs, key_fingerprint, token, estimated_ms,
                         caller, idempotency_key, request_fingerprint, jobs)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, cardinality($12::bigint[]))
    ON CONFLICT DO NOTHING
    RETURNING id
), made AS (
    INSERT INTO {schema}.jobs (batch, seq, first, quantity)
    SELECT batch.id, job.seq, job.first, job.quantity
    FROM batch, unnest($12::bigint[], $13::bigint[], $14::bigint[]) AS job (seq, first, quantity)
)
SELECT EXISTS (SELECT FROM batch) AS made
