-- create: inserts the batch and its jobs, if the id is free.
--
--   $1 id            $4 prefix             $7 token                 $9 their first ordinals, bigint[]
--   $2 quantity      $5 most jobs          $8 jobs' numbers,        $10 their quantities, bigint[]
--   $3 batch size    $6 key fingerprint       bigint[]
--
-- Returns (made): no when the id is in use.
--
-- One statement, so that it is one round trip and one transaction.

WITH batch AS (
    INSERT INTO batches (id, quantity, batch_size, prefix, max_jobs, key_fingerprint, token, jobs, open_jobs)
    VALUES ($1, $2, $3, $4, $5, $6, $7, cardinality($8::bigint[]), cardinality($8::bigint[]))
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), made AS (
    INSERT INTO jobs (batch, seq, first, quantity)
    SELECT batch.id, job.seq, job.first, job.quantity
    FROM batch, unnest($8::bigint[], $9::bigint[], $10::bigint[]) AS job (seq, first, quantity)
)
SELECT EXISTS (SELECT FROM batch) AS made
