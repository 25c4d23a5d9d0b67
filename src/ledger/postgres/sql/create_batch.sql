-- create: inserts a batch, its jobs and its entry in the audit, if its id and its idempotency key
-- are free.
--
--   $1 id            $5 maximum jobs       $9 caller                  $12 job numbers, bigint[]
--   $2 quantity      $6 key fingerprint    $10 idempotency key        $13 first ordinals, bigint[]
--   $3 batch size    $7 token              $11 request fingerprint    $14 quantities, bigint[]
--   $4 prefix        $8 estimate, ms       $15, $16, $17 actor, address and details of the audit
--                                         $18 position in a distributed trace
--
-- The token is a random number that identifies this call, so that a repetition recognises its own
-- batch.
--
-- Returns (created): false if the id or the key is in use. Of two concurrent calls, the second
-- waits here for the first.
--
-- One statement, so one round trip and one transaction. `{schema}` is replaced by the ledger's
-- schema, because in a host's transaction the search path is the host's.

WITH batch AS (
    INSERT INTO {schema}.batches (id, quantity, batch_size, prefix, max_jobs, key_fingerprint, token, estimated_ms,
                         caller, idempotency_key, request_fingerprint, jobs, traceparent)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, cardinality($12::bigint[]), $18)
    ON CONFLICT DO NOTHING
    RETURNING id
), job_rows AS (
    INSERT INTO {schema}.jobs (batch, seq, first, quantity)
    SELECT batch.id, job.seq, job.first, job.quantity
    FROM batch, unnest($12::bigint[], $13::bigint[], $14::bigint[]) AS job (seq, first, quantity)
), entry AS (
    INSERT INTO {schema}.audit (batch, action, actor, address, details)
    SELECT id, 'created', $15::text, $16::text, $17::text::json FROM batch
)
SELECT EXISTS (SELECT FROM batch) AS created
