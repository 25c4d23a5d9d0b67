-- create: finds the batch that an earlier request with the same key made.
--
--   $1 caller    $2 idempotency key
--
-- At most one row, since the index is unique.

SELECT id, quantity, jobs, estimated_ms, request_fingerprint, token,
       (extract(epoch FROM now() - created_at) * 1000)::bigint AS age_ms
FROM batches
WHERE caller = $1 AND idempotency_key = $2
